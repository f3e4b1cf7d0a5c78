# SPDX-License-Identifier: Apache-2.0
# Bash completion for seemesh(1).  tools/check-docs holds it against the program.

# One line a command: its words, then ":", then its options.
_seemesh_table='
dev up: --nodes --no-manifest --see-slots --tpm --dir
dev down: --dir
init: --dev-root --name --mesh --owner --listen --peers --tpm --tpm-ca --pcrs --platform --root --environment
node:
put: --name
get: -o --output
ls:
rm: -y --yes
run: --on --split --units --reduce --arg --reduce-arg --sees --time --receipts -o --output
verify:
attest verify: --report --vek --quote --sig --doc --chain --crl --tcb-info --qe-identity --pck-crl --root-crl --ak --pcrs --event-log --root --as-of --nonce --measurement --allow-debug
attest show: --report --vek --quote --sig --doc --chain --crl --tcb-info --qe-identity --pck-crl --root-crl --ak --pcrs --event-log --root --as-of --nonce
root init:
platform request: -o --nonce
platform endorse: --root-dir -o --nonce --measurement --index --days
platform accept:
attest explain: --report --vek --quote --sig --doc --chain --crl --tcb-info --qe-identity --pck-crl --root-crl --ak --pcrs --event-log --root --as-of --nonce --measurement --allow-debug --manifest --policy
attest diff: --as-of
attest collect: --data -o --output --raw
attest refusals:
attest reasons: --platform
tpm show: --tpm
tpm request: -o --renew --pcrs
tpm endorse: --root-dir --tpm-ca -o
tpm accept:
collateral add: --chain
collateral ls:
manifest new: --from-node
manifest show:
manifest diff:
manifest sign: --root-dir --previous --days -o --output
manifest apply:
revoke: --reason --root-dir --since --list -o --output -y --yes
revoke undo: --root-dir --list -o --output
revoke ls:
nodes:
route:
trust:
see list:
status:
tun up: --name --mtu
tun down:
tun status:
bench:
help:
version:
'

# Names of stored objects; asks the node nothing.
_seemesh_objects() {
    local home=${1:-$SEEMESH_HOME}
    [ -r "$home/client/objects" ] || return 0
    sed -n 's/.*"name":"\([^"]*\)".*/\1/p' "$home/client/objects"
}

_seemesh() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local i word words=() home=${SEEMESH_HOME-} command options
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        --home) home=${COMP_WORDS[++i]} ;;
        -*) ;;
        *) words+=("$word") ;;
        esac
    done
    COMPREPLY=()
    case $prev in
    --home | --dir | --dev-root | --root-dir)
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    -o | --output | --reduce | --receipts | --report | --vek | --quote | --sig | --doc | --chain | --crl | \
        --tcb-info | --qe-identity | --pck-crl | --root-crl | --ak | --pcrs | --event-log | --root | --tpm-ca | --previous | --list)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --on)
        mapfile -t COMPREPLY < <(compgen -W "$(_seemesh_objects "$home")" -- "$cur")
        return
        ;;
    --split)
        mapfile -t COMPREPLY < <(compgen -W 'lines csv bytes:' -- "$cur")
        return
        ;;
    esac
    [ "${words[0]-}" = help ] && [ ${#words[@]} -gt 0 ] && words=("${words[@]:1}")
    while IFS=: read -r command options; do
        [ -n "$command" ] || continue
        if [ "$command" = "${words[0]-}" ] || [ "$command" = "${words[0]-} ${words[1]-}" ]; then
            if [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$options --home --json --quiet --help" -- "$cur")
                return
            fi
            case $command in
            get | rm) mapfile -t COMPREPLY < <(compgen -W "$(_seemesh_objects "$home") -" -- "$cur") ;;
            'attest verify' | 'attest show' | 'attest explain')
                mapfile -t COMPREPLY < <(compgen -W 'snp azure tdx sgx tpm nitro' -- "$cur")
                ;;
            put | run | verify | 'attest diff') mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
            esac
            return
        fi
    done <<<"$_seemesh_table"
    # No command yet, or the first of two words.
    local first=${words[0]-} list=()
    while IFS=: read -r command options; do
        if [ -z "$first" ]; then
            list+=("${command%% *}")
        elif [ "${command%% *}" = "$first" ]; then
            list+=("${command#* }")
        fi
    done <<<"$_seemesh_table"
    [ -n "$first" ] || list+=(--home --json --quiet)
    mapfile -t COMPREPLY < <(compgen -W "${list[*]}" -- "$cur" | sort -u)
}
complete -F _seemesh seemesh
