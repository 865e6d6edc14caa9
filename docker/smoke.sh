#!/bin/sh
# Tries the wheels beside it in a bare Debian, as root: Python with venv is all that is installed before.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3-venv > /dev/null
for each in gcc g++ cmake; do
    if command -v "$each" > /dev/null; then echo "$each is here: this is no bare system" >&2; exit 1; fi
done
if find / -xdev -name 'libboost*' -o -xdev -name 'libhdf5*' | grep -q .; then
    echo "libraries of Caffe are here: this is no bare system" >&2; exit 1
fi
useradd --create-home someone
su someone -s /bin/sh -c "
    set -eu
    cd
    python3 -m venv environment
    environment/bin/pip install --quiet --disable-pip-version-check --constraint $here/constraints.txt $here/*.whl
    environment/bin/rationale doctor
    environment/bin/rationale data export mnist --split test --each 1 --out digits
    environment/bin/rationale explain digits/7-*.png --model mnist --out explained
    test -s explained/heatmap.png
    environment/bin/python $here/forked.py
    ! environment/bin/rationale explain nothing.png 2> said || exit 1
    grep -q nothing.png said
" > /tmp/said 2>&1 || failed=$?
cat /tmp/said
test -z "${failed-}"
grep -q 'a forked child ended with 0' /tmp/said
grep -q '^7-.*: 7 (' /tmp/said
if grep -q '^BAD' /tmp/said; then exit 1; fi
