#!/usr/bin/env bash
# Generate the gRPC stubs from protos/ into shared/gaitkeeper_shared/rpc/gaitkeeper/v1, where they are committed.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON_IN_VENV:-.venv/bin/python}"
out=shared/gaitkeeper_shared/rpc
"$python" -m grpc_tools.protoc -I protos --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" \
  protos/gaitkeeper/v1/*.proto
# protoc imports by the proto's own path; the stubs live inside our package.
sed -i 's/^from gaitkeeper\.v1 import /from gaitkeeper_shared.rpc.gaitkeeper.v1 import /' "$out"/gaitkeeper/v1/*_pb2_grpc.py
for folder in "$out/gaitkeeper" "$out/gaitkeeper/v1"; do
  printf '"""Generated from protos/ by deploy/protos.sh; not edited by hand."""\n' > "$folder/__init__.py"
done
