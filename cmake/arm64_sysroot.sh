#!/usr/bin/env bash
# Makes what a cross-build for arm64 needs, in the folder that is given: sysroot/ of Debian's arm64 packages (those of
# cmake/packages/debian.txt that are libraries), and wheels/ with the engines' libraries. Nothing of this machine is
# changed: apt works in folders of its own.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
target=$(cd "$1" && pwd)
apt=$target/apt
sysroot=$target/sysroot
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$target/wheels"
: >"$apt/status"

apt_arm64() {
  apt-get -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State="$apt/state" \
    -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" -o APT::Install-Recommends=false \
    -o Debug::NoLocking=1 "$@"
}

wanted=$(sed -e 's/#.*//' -e '/^\s*$/d' -e 's/\s.*//' "$root/cmake/packages/debian.txt" |
  grep -E '^(lib|nlohmann|prometheus).*-dev$' | grep -v -e clang -e grpc -e protobuf)
apt_arm64 update -qq
# shellcheck disable=SC2086
apt_arm64 install -y -qq --download-only $wanted libstdc++-12-dev libc6-dev >/dev/null

rm -rf "$sysroot"
mkdir -p "$sysroot/usr/lib" "$sysroot/usr/bin" "$sysroot/usr/sbin"
for folder in lib bin sbin; do ln -s "usr/$folder" "$sysroot/$folder"; done  # As Debian has them, before it is filled.
for package in "$apt"/cache/archives/*.deb; do dpkg-deb --fsys-tarfile "$package" | tar -x -C "$sysroot" --keep-directory-symlink; done
# Links from the top would lead to this machine's files.
find "$sysroot/usr/lib" "$sysroot/etc" -type l -lname '/*' | while read -r link; do
  ln -sfn "$sysroot$(readlink "$link")" "$link"
done

# BLAS and LAPACK are chosen by update-alternatives, which no package script has run here.
for library in blas lapack; do
  found=$(find "$sysroot/usr/lib/aarch64-linux-gnu/$library" -name "lib$library.so.3*" 2>/dev/null | head -n 1 || true)
  [ -z "$found" ] || ln -sfn "$found" "$sysroot/usr/lib/aarch64-linux-gnu/lib$library.so.3"
done

# The processor as emulated programs see it: qemu-user shows them this machine's /proc/cpuinfo otherwise, at which the
# engines' detection of Arm processors ends the program.
mkdir -p "$sysroot/proc"
for processor in 0 1; do
  printf '%s\t: %s\n' processor $processor BogoMIPS 100.00 \
    Features 'fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp' 'CPU implementer' 0x41 'CPU architecture' 8 \
    'CPU variant' 0x4 'CPU part' 0xd0b 'CPU revision' 1
  echo
  identification=$sysroot/sys/devices/system/cpu/cpu$processor/regs/identification
  mkdir -p "$identification"
  echo 0x00000000414fd0b1 >"$identification/midr_el1"
done >"$sysroot/proc/cpuinfo"

# Programs of the build, run by their usual names, on a Cortex-A76: with QEMU 7.2's own processor, which has SVE, OpenVINO's
# kernels give wrong results (golden samples notice), and on a Cortex-A72 OpenVINO refuses 8-bit models.
mkdir -p "$target/emulated/bin"
for program in verge verge-agent; do
  printf '#!/bin/sh\nexec qemu-aarch64-static -cpu cortex-a76 -L "%s" "%s/dev/bin/%s" "$@"\n' "$sysroot" "$target" $program \
    >"$target/emulated/bin/$program"
  chmod +x "$target/emulated/bin/$program"
done

# The wheels' libraries, of the versions that the host has.
versions=$(grep -hE '^(openvino|ai-edge-litert|executorch)==' "$root"/cmake/packages/python*.txt)
# shellcheck disable=SC2086
"$root/.venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --platform manylinux_2_35_aarch64 --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
  -d "$target/wheels" $versions
rm -rf "$target/site-packages"
mkdir -p "$target/site-packages"
for wheel in "$target"/wheels/*.whl; do unzip -q -o "$wheel" -d "$target/site-packages"; done
