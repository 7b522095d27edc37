# Completion for bash: source it, or install it as /usr/share/bash-completion/completions/fence.
# Commands, options and container ids come from fence itself, so that this never lags behind.
_fence() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' index
	for ((index = 1; index < COMP_CWORD; index++)); do
		case ${COMP_WORDS[index]} in
		--) # what follows is another command line
			COMPREPLY=($(compgen -c -f -- "$word"))
			return
			;;
		-*) ;;
		*) command=${command:-${COMP_WORDS[index]}} ;;
		esac
	done
	case $previous in
	--bundle | -b | --root | --image-path | --work-path | --parent-path) COMPREPLY=($(compgen -d -- "$word")) && return ;;
	--policy | -s | --pid-file | --log | --net-log | --process) COMPREPLY=($(compgen -f -- "$word")) && return ;;
	esac
	local help
	help=$(fence $command --help 2>/dev/null)
	case $word in
	-*) COMPREPLY=($(compgen -W "$(grep -oE -- '--[a-z][a-z-]*' <<<"$help" | sort -u) --" -- "$word")) ;;
	*)
		if [ -n "$command" ]; then
			COMPREPLY=($(compgen -W "$(fence list --quiet 2>/dev/null)" -- "$word"))
		else
			COMPREPLY=($(compgen -W "$(sed -n 's/^  \([a-z]\{2,\}\) .*/\1/p' <<<"$help")" -- "$word"))
		fi
		;;
	esac
}
complete -F _fence fence
