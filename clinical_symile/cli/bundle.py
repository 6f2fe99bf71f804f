"""`clinical-symile bundle`: write a finished benchmark as one archive that can be shared."""

import argparse
from pathlib import Path


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bundle`."""
    parser.add_argument("folder", metavar="OUT", type=Path, help="folder of a finished benchmark")
    parser.add_argument(
        "--to", metavar="FILE", type=Path, help="the archive (default: OUT.bundle.zip beside OUT)"
    )
    parser.add_argument(
        "--sign", metavar="KEY", type=Path, help="sign the hashes with this private SSH key"
    )


def run_bundle(options: argparse.Namespace) -> int:
    """Write the archive and print its path."""
    from clinical_symile.api.bundles import bundle

    print(bundle(options.folder, into=options.to, sign=options.sign, catalog=options.catalog))
    return 0
