#!/bin/sh
# Made by deploy/slurm/generate.py for the machine "@{name}": puts its files into place and starts what it runs.
# As root, in this directory: sh install.sh        DESTDIR=/elsewhere puts them there and starts nothing.
set -eu
cd "$(dirname "$0")"
root=${DESTDIR:-}
[ "$(id -u)" = 0 ] || { echo "install.sh: only root can put files into /etc" >&2; exit 1; }
[ -n "$root" ] || [ "$(hostname -s)" = @{host} ] ||
    { echo "install.sh: this is $(hostname -s), and these files are for @{host}" >&2; exit 1; }
for program in @{programs}; do
    command -v "$program" > /dev/null ||
        { echo "install.sh: $program is missing: apt-get install @{packages}" >&2; exit 1; }
done
for user in @{slurm_user} @{service_user}; do
    id "$user" > /dev/null 2>&1 || { echo "install.sh: there is no user $user; the guide makes it" >&2; exit 1; }
done

(cd files && find . -type f) | while read -r file; do
    case $file in
        *.key) mode="-m 0600 -o @{slurm_user} -g @{slurm_user}" ;;
        */sbin/*) mode="-m 0755" ;;
        *) mode="-m 0644" ;;
    esac
    # shellcheck disable=SC2086
    install -D $mode "files/$file" "$root/$file"
done
install -d -o @{slurm_user} -g @{slurm_user} "$root/var/log/slurm" "$root@{state}"

# The machines know each other by name without a name server; a controller waits for 40 s for each that is not known.
mkdir -p "$root/etc"
touch "$root/etc/hosts"
sed '/^# Slurm: begin/,/^# Slurm: end/d' "$root/etc/hosts" > "$root/etc/hosts.new"
cat hosts >> "$root/etc/hosts.new"
# Written over, not replaced: a container's is a mount.
cat "$root/etc/hosts.new" > "$root/etc/hosts"
rm "$root/etc/hosts.new"

[ -z "$root" ] || exit 0
@{sysusers}systemctl daemon-reload
systemctl enable @{units}
systemctl restart @{units}
