"""A TPM for tests: swtpm, the real program."""

import shutil
import socket
import subprocess

import pytest
from fleet import wait_for


class SoftwareTpm:
    """swtpm with a state of its own; `endorsed`: with a certificate by its maker, who lives in the same folder."""

    def __init__(self, folder, endorsed=False):
        for program in ("swtpm", "swtpm_setup", "tpm2_pcrextend"):
            if not shutil.which(program):
                pytest.skip(f"needs {program} (Debian's swtpm, swtpm-tools and tpm2-tools)")
        self.folder = folder
        folder.mkdir()
        if endorsed:
            self.endorse()
        self.start()

    def endorse(self):
        maker = self.folder / "maker"
        maker.mkdir()
        (maker / "localca.conf").write_text(f"statedir = {maker}\nsigningkey = {maker}/key.pem\nissuercert = {maker}/ca.pem\n"
                                            f"certserial = {maker}/serial\n")
        (maker / "options").write_text("--platform-manufacturer Tests\n--platform-version 1\n--platform-model Tests\n")
        (maker / "setup.conf").write_text(f"create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = {maker}/localca.conf\n"
                                          f"create_certs_tool_options = {maker}/options\n")
        subprocess.run(["swtpm_setup", "--tpm2", "--tpmstate", self.folder, "--create-ek-cert", "--config", maker / "setup.conf"],
                       check=True, capture_output=True, timeout=60)

    @property
    def tcti(self):
        return f"swtpm:path={self.folder}/socket"

    def start(self):
        address = f"type=unixio,path={self.folder}/socket"
        self.process = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}", "--server", address,
                                         "--ctrl", f"{address}.ctrl", "--flags", "not-need-init,startup-clear"],
                                        stderr=subprocess.DEVNULL)
        wait_for(self.listens, what="TPM")

    def listens(self):
        """The name is there before anybody listens at it."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.folder / "socket")) == 0

    def stop(self):
        self.process.kill()
        self.process.wait()
        (self.folder / "socket").unlink(missing_ok=True)

    def boot_again(self):
        self.stop()
        self.start()

    def run(self, program, *arguments):
        subprocess.run([program, "-T", self.tcti, *arguments], check=True, capture_output=True, timeout=30)

    def measure(self, pcr):
        """As the firmware does before it runs something else than it did."""
        self.run("tpm2_pcrextend", f"{pcr}:sha256={'a' * 64}")
