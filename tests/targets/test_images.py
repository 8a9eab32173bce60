"""One conversion between bytes and floats, for every output and every network."""

import torch

from spatialspec.targets.images import as_bytes, as_image, signed, unit


def test_every_byte_comes_back() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert as_bytes(unit(every)).equal(every) and unit(every)[[0, 255]].tolist() == [0.0, 1.0]
    assert as_bytes(torch.tensor([-0.2, 1.2])).tolist() == [0, 255]
    pixels = every.view(1, 16, 16, 1).expand(-1, -1, -1, 3)
    torch.testing.assert_close(signed(pixels), 2 * unit(pixels).permute(0, 3, 1, 2) - 1)
    assert list(as_image(signed(pixels)[0].permute(1, 2, 0)).tobytes()) == pixels.flatten().tolist()
