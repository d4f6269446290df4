#!/bin/sh
# Identify the background server by a file with its pid and start time; for the Makefile:
#   server-process.sh FILE note PID    writes the file
#   server-process.sh FILE find        prints the pid; fails unless this process runs, and runs from this directory
# Start times come from /proc/PID/stat (ticks since boot), or from ps if there is no /proc.
file=$1

start_of() {
    if [ -r "/proc/$1/stat" ]; then
        # The second field is the program's name in parentheses, which may itself contain spaces and parentheses.
        sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
    else
        ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' _
    fi
}

# A process of this checkout: run.py, started in this directory.
is_ours() {
    if [ -d "/proc/$1" ]; then
        [ "$(readlink "/proc/$1/cwd")" = "$(pwd -P)" ] || return 1
    fi
    ps -o args= -p "$1" 2>/dev/null | grep -Eq '^[^ ]*python[0-9.]* run\.py( |$)'
}

case $2 in
note)
    # Atomic: a reader never finds an incomplete file.
    printf '%s %s\n' "$3" "$(start_of "$3")" > "$file.new" && mv "$file.new" "$file"
    ;;
find)
    [ -f "$file" ] || exit 1
    read -r pid start rest < "$file" || exit 1
    case $pid in '' | *[!0-9]* | 0 | 1) exit 1 ;; esac
    [ -n "$start" ] && [ -z "$rest" ] && [ "$(start_of "$pid")" = "$start" ] && is_ours "$pid" && echo "$pid"
    ;;
*)
    echo "usage: server-process.sh FILE note PID | find" >&2
    exit 2
    ;;
esac
