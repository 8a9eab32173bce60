"""A new drafter in one file, compared with AR: `python examples/own_drafter.py`.

It guesses that the next cells repeat the last token. Any command takes it with `--plugin examples/own_drafter.py`, and
`spatialspec audit --quick --methods same --plugin examples/own_drafter.py` tests it.
"""

import argparse

from pydantic import Field

from spatialspec import Method, SpatialPipeline, register
from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.methods.options import Options


class SameOptions(Options):
    """Options, as in `same:length=4`."""

    length: int = Field(default=4, ge=1, le=64, description="cells guessed ahead")


class Same(Drafter):
    """The drafter of one image."""

    def __init__(self, context: DecodeContext, options: SameOptions, verifier: Verifier) -> None:
        self.length = options.length

    def propose(self, state: State) -> Proposal:
        """A chain of guesses from the first open cell on."""
        length = min(self.length, state.layout.cells - state.frontier)
        proposal = Proposal.chain(state.frontier, [state.tokens[-1]] * length)
        proposal.placeholders = set(range(length))  # copies, not guesses: no tolerance accepts them
        return proposal


METHOD = register(Method("same", "the last token once more", SameOptions(), Same, rule="coupled"))


def main(model: str = "icons", prompt: str = "a red apple, 3d") -> None:
    """Draw with AR and with the new method."""
    pipe = SpatialPipeline.from_pretrained(model)
    ar, same = (pipe(prompt, seed=0, method=method) for method in ("ar", METHOD))
    print(f"{same.report.target_passes:.0f} passes instead of {ar.report.target_passes:.0f}")
    print("same tokens as AR:", same.tokens == ar.tokens)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="icons", help="name, or a folder")
    parser.add_argument("--prompt", default="a red apple, 3d")
    main(**vars(parser.parse_args()))
