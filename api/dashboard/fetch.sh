#!/bin/sh
# Install uPlot and tus-js-client (package.json) into vendor/ by npm. $1 is the Python of the environment.
# Without them the page shows tables and has no uploads, so a failure is reported but is not an error.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

fetch() {
  cp "$here/package.json" "$work" && cd "$work" || return
  NODE_WHEEL=$work/node sh "$here/../../tools/npm.sh" "$1" install --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error \
    --fetch-retries=1 --fetch-timeout=20000 || return
  mkdir -p "$here/vendor" && cp node_modules/uplot/LICENSE "$here/vendor/uPlot.LICENSE" || return
  cp node_modules/uplot/dist/uPlot.min.css node_modules/uplot/dist/uPlot.iife.min.js "$here/vendor/" || return
  cp node_modules/tus-js-client/LICENSE "$here/vendor/tus.LICENSE" || return
  cp node_modules/tus-js-client/dist/tus.min.js "$here/vendor/"
}

python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
if (fetch "$python") > "$work/output" 2>&1; then exit 0; fi
echo "The dashboard's charts and uploads could not be installed (it shows tables and has no uploads; retry with make charts): $(tail -n 1 "$work/output")" >&2
