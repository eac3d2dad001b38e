"""``gaitkeeper cosign``: for whoever signs beside the coordinator, at a machine of their own. Needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gaitkeeper_shared.cosign.documents import Document

app = typer.Typer(
    help="Sign studies and releases beside the coordinator, so that it cannot act alone.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DocumentFile = Annotated[Path, typer.Argument(metavar="DOCUMENT", help="A study (.toml) or a release (.json).")]
ModelFile = Annotated[
    Path | None,
    typer.Option(help="The release's model: is it, byte for byte, what is signed?", show_default=False),
]


@app.command()
def key(path: Annotated[Path, typer.Argument(help="The file to make, such as anna.key.")]) -> None:
    """Make a key to sign with. The file stays with you; the line that is printed goes to the coordinator."""
    from gaitkeeper_shared.errors import GaitkeeperError
    from gaitkeeper_shared.trust.keys import SigningKey

    if path.exists():
        raise GaitkeeperError("cosign-key-exists", path=path)
    made = SigningKey.generate()
    try:
        made.save(path)
    except OSError as error:
        raise GaitkeeperError("file-not-writable", path=path, detail=error.strerror) from error
    typer.echo(f"{path} is your key: keep it to yourself, and a copy where nobody else is.")
    typer.echo("For the coordinator, over a way that cannot be changed unseen (read it out over the telephone):")
    typer.echo(made.verifying.raw.hex())


@app.command()
def show(document: DocumentFile, model: ModelFile = None) -> None:
    """Show what a document says, and which keys signed it."""
    from gaitkeeper_shared.cosign.documents import read_document

    _tell(read_document(document), model)


@app.command()
def sign(
    document: DocumentFile,
    key: Annotated[Path, typer.Option(help="Your key file.")],
    model: ModelFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
) -> None:
    """Add your signature to DOCUMENT.sig, after showing what you sign. Send that file back to the coordinator."""
    from gaitkeeper_shared.cosign.documents import cosign, read_document
    from gaitkeeper_shared.trust.keys import SigningKey

    mine, found = SigningKey.load(key), read_document(document)
    _tell(found, model)
    if not yes and not typer.confirm("Sign this?"):
        typer.echo("Nothing was signed.")
        raise typer.Exit(3)
    typer.echo(f"Signed. Send {cosign(found, mine)} back to the coordinator.")


def _tell(document: Document, model: Path | None) -> None:
    from gaitkeeper_shared.cosign.documents import signatures_beside

    signatures = signatures_beside(document)
    typer.echo(f"{document.path} is {document.title}.")
    for name, value in document.terms:
        typer.echo(f"  {name}: {value}")
    typer.echo(f"  SHA-256 of the document: {document.sha256}")
    if model is not None:
        document.check_model(model)
        typer.echo(f"  {model} is the model that it releases.")
    for item in signatures.signatures if signatures is not None else ():
        typer.echo(f"  signed by key {item.key_id} at {item.signed_at}")
