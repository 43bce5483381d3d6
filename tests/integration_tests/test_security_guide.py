"""documentation/security_guide.md, walked block by block through the real programs, in an empty folder."""

from conftest import ROOT
from test_fleet_guide import blocks, shell, walk  # The shell is a fixture.

GUIDE = ROOT / "documentation" / "security_guide.md"


def test_every_block_of_the_security_guide(shell):
    assert len(blocks(GUIDE)) > 15
    walk(shell, GUIDE)
