"""Generated from protos/ by deploy/protos.sh; not edited by hand."""
