# Completion for atoll, made by "atoll help --completion bash".
_atoll() {
    local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} words=
    if ((COMP_CWORD == 1)) && [[ $word != -* ]]; then
        words="run validate asm dis objdump features help"
    elif [[ $word == -* ]]; then
        case $verb in
        run) words="--dir --env --tcplisten --argv0 --stdin --stdout --stderr --invoke --preload --native --trap-unknown-imports --timeout --fuel --max-memory --max-stack --max-gc-heap --max-fds --max-output --max-threads --strace --tier --coredump --gdb --relaxed-deterministic --enable --disable --help" ;;
        validate) words="--json --help" ;;
        asm) words="--output --no-check --help" ;;
        dis) words="--output --fold --offsets --no-names --help" ;;
        objdump) words="--headers --details --disassemble --full-contents --section --help" ;;
        features) words="--imports --help" ;;
        help) words="--man --completion --help" ;;
        *) words="--dir --env --tcplisten --argv0 --stdin --stdout --stderr --invoke --preload --native --trap-unknown-imports --timeout --fuel --max-memory --max-stack --max-gc-heap --max-fds --max-output --max-threads --strace --tier --coredump --gdb --relaxed-deterministic --enable --disable --help --version" ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word"; [[ $word == -* ]] || compgen -f -- "$word")
}
complete -o filenames -F _atoll atoll
