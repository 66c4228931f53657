# Completion for atoll, made by "atoll help --completion bash".
_atoll() {
    local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} words=
    local before=${COMP_WORDS[COMP_CWORD - 1]} verbs="run profile boot vm validate asm dis compile objdump disk features help"
    if [[ $before == --enable || $before == --disable ]]; then
        mapfile -t COMPREPLY < <(compgen -W "mvp mutable-globals sign-extension saturating-float-to-int multi-value bulk-memory reference-types simd relaxed-simd tail-call extended-const function-references gc exceptions legacy-exceptions multi-memory memory64 threads custom-page-sizes wide-arithmetic" -- "$word")
        return
    elif ((COMP_CWORD == 2)) && [[ $verb == help && $word != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$word")
        return
    elif ((COMP_CWORD == 1)) && [[ $word != -* ]]; then
        words=$verbs
    elif [[ $word == -* ]]; then
        case $verb in
        run) words="--dir --env --tcplisten --argv0 --stdin --stdout --stderr --invoke --preload --native --trap-unknown-imports --timeout --fuel --max-memory --max-table-elements --max-tables --max-instances --max-stack --max-gc-heap --max-fds --max-output --max-threads --strace --tier --no-cache --stats --perf --native-gdb --dump --dump-function --dump-to --coredump --gdb --relaxed-deterministic --enable --disable --help" ;;
        profile) words="--svg --dir --env --tcplisten --argv0 --stdin --stdout --stderr --invoke --preload --native --trap-unknown-imports --timeout --fuel --max-memory --max-table-elements --max-tables --max-instances --max-stack --max-gc-heap --max-fds --max-output --max-threads --strace --tier --no-cache --stats --perf --native-gdb --dump --dump-function --dump-to --coredump --gdb --relaxed-deterministic --enable --disable --help" ;;
        boot) words="--kernel --initrd --append --memory --cpus --timeout --engine --self-unpacking --disk --net --vsock --strace --stats --verbose --rootfs --rw --dir --env --modules --no-jail --script --name --detach --log --gdb --console --icount --perf --native-gdb --cwd --help" ;;
        vm) words="--json --timeout --help" ;;
        validate) words="--json --help" ;;
        asm) words="--output --no-check --help" ;;
        dis) words="--output --fold --offsets --no-names --help" ;;
        compile) words="--output --relaxed-deterministic --fuel --dump --dump-function --dump-to --help" ;;
        objdump) words="--headers --details --disassemble --full-contents --section --help" ;;
        disk) words="--format --to --backing --backing-format --cluster-size --repair --shrink --direct --json --help" ;;
        features) words="--imports --help" ;;
        help) words="--man --completion --help" ;;
        *) words="--dir --env --tcplisten --argv0 --stdin --stdout --stderr --invoke --preload --native --trap-unknown-imports --timeout --fuel --max-memory --max-table-elements --max-tables --max-instances --max-stack --max-gc-heap --max-fds --max-output --max-threads --strace --tier --no-cache --stats --perf --native-gdb --dump --dump-function --dump-to --coredump --gdb --relaxed-deterministic --enable --disable --help --version" ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word"; [[ $word == -* ]] || compgen -f -- "$word")
}
complete -o filenames -F _atoll atoll
