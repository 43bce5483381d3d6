"""theupdateframework/tuf-conformance, all of it: verge-tuf-client passes every case, and none is expected to fail."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from conftest import BUILD, ROOT

SUITE = pathlib.Path(os.environ.get("VERGE_TUF_CONFORMANCE", ROOT / "build" / "peers" / "tuf-conformance"))
CASES = 113


def need_suite():
    if not (SUITE / "tuf_conformance").is_dir():
        pytest.skip("needs a checkout of github.com/theupdateframework/tuf-conformance in build/peers/tuf-conformance, "
                    "or VERGE_TUF_CONFORMANCE")


def test_every_case_passes(tmp_path):
    need_suite()
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", SUITE / "tuf_conformance",
                           "--entrypoint", BUILD / "bin" / "verge-tuf-client"], capture_output=True, text=True,
                          timeout=500, cwd=tmp_path)
    found = re.search(r"(\d+) passed in", done.stdout)
    assert done.returncode == 0 and found and int(found[1]) >= CASES, done.stdout[-4000:]
    assert "xfail" not in done.stdout and "skipped" not in done.stdout
