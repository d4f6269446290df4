#!/bin/sh
# Create a certificate for a name, signed by your own certificate authority:
#   certificate.sh NAME DIRECTORY    creates ca.pem, certificate.pem and key.pem there; ca.key signs further certificates
# Clients must trust ca.pem (curl --cacert ca.pem). Afterwards, move ca.key to another machine.
set -eu
[ $# = 2 ] || { echo "usage: certificate.sh NAME DIRECTORY" >&2; exit 2; }
name=$1 directory=$2
case $name in *[!A-Za-z0-9.-]* | '') echo "certificate.sh: \"$name\" is no name of a host" >&2; exit 2 ;; esac
[ ! -e "$directory/certificate.pem" ] || { echo "certificate.sh: $directory/certificate.pem is there already" >&2; exit 1; }
umask 077
mkdir -p "$directory"
cd "$directory"
key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
if [ ! -e ca.key ]; then
    # shellcheck disable=SC2086
    openssl req -x509 $key -days 3650 -subj "/CN=Diffusion-Pipe API's own authority" -keyout ca.key -out ca.pem \
        -addext keyUsage=critical,keyCertSign,cRLSign 2> /dev/null
fi
# shellcheck disable=SC2086
openssl req -new $key -subj "/CN=$name" -keyout key.pem -out request.pem 2> /dev/null
cat > extensions <<END
subjectAltName=DNS:$name
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
authorityKeyIdentifier=keyid
subjectKeyIdentifier=hash
END
# Browsers reject certificates that are valid for more than 825 days.
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 800 -extfile extensions \
    -out certificate.pem 2> /dev/null
rm -f request.pem extensions ca.srl
chmod 644 ca.pem certificate.pem
