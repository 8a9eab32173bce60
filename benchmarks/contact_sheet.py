"""Draw 64 prompts as people type them with plain AR on one sheet: `python benchmarks/contact_sheet.py OUT.png`.

They are the first of `src/spatialspec/lab/icons/people.csv`, which `train prompts` leaves out. Needs the extra
`spatialspec[lab]`.
"""

import argparse
from pathlib import Path

from spatialspec import SpatialPipeline
from spatialspec.cli.sheet import captioned
from spatialspec.io.images import write_image
from spatialspec.io.outputs import check_output
from spatialspec.lab.icons.prompts import PEOPLE


def main(out: str, model: str = "icons") -> None:
    """Write the sheet; the seed of image i is i."""
    check_output(Path(out), ".png", "OUT")
    prompts = list(PEOPLE)[:64]
    images = SpatialPipeline.from_pretrained(model)(prompts, method="ar", seed=0).images
    write_image(Path(out), captioned(prompts, images))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="a PNG file")
    parser.add_argument("model", nargs="?", default="icons", help="name or folder")
    main(**vars(parser.parse_args()))
