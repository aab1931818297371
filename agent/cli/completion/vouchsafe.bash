# SPDX-License-Identifier: Apache-2.0
# bash completion of vouchsafe(1). It asks the program's own --help, so that it knows exactly the
# commands and options that this program has.

# The names in section $1 ("Commands" or "Options") of the help of the command line that follows.
_vouchsafe_names() {
	local section=$1:
	shift
	"$@" --help 2>/dev/null | while IFS= read -r line; do
		case $line in
		"$section") section=here ;;
		"   "*) ;; # the help before goes on
		"  "*) [ "$section" = here ] && line=${line#"  "} && echo "${line%% *}" ;;
		*) [ "$section" = here ] && break ;;
		esac
	done
}

# What stands behind option $1 in that help: the value's name (FILE, NAME, …) or "" for a flag.
_vouchsafe_value() {
	local option=$1 rest
	shift
	"$@" --help 2>/dev/null | while IFS= read -r line; do
		case $line in
		"  $option "*)
			rest=${line#"  $option "}
			rest=${rest%% *}
			case $rest in "" | *[!A-Z0-9=:_]*) ;; *) echo "$rest" ;; esac
			break
			;;
		esac
	done
}

# The words that an option's help lists: "error, warn (default), info or debug"; none where it lists
# fewer than two.
_vouchsafe_words() {
	local option=$1 rest item
	local -a items words=()
	shift
	rest=$("$@" --help 2>/dev/null | grep -- "^  $option ")
	rest=${rest#*"$option "}
	rest=${rest#* }
	case $rest in *:*) rest=${rest#*:} ;; esac
	rest=${rest// or /,}
	IFS=, read -ra items <<<"$rest"
	for item in "${items[@]}"; do
		item=${item%"(default)"*}
		item=${item//[[:space:]]/ }
		item=${item#"${item%%[! ]*}"}
		item=${item%"${item##*[! ]}"}
		case $item in "" | *[!a-zA-Z0-9._-]*) break ;; esac
		words+=("$item")
	done
	[ "${#words[@]}" -lt 2 ] || printf '%s\n' "${words[@]}"
}

_vouchsafe() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	local -a line=("${COMP_WORDS[0]}")
	local i word skip= value= commands options
	COMPREPLY=()
	commands=$(_vouchsafe_names Commands "${line[@]}")
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [ -n "$skip" ]; then
			skip=
			continue
		fi
		case $word in
		-*)
			# "--option = value" is three words to bash; the value is no command.
			value=$(_vouchsafe_value "$word" "${line[@]}")
			[ -n "$value" ] && skip=1
			continue
			;;
		=) skip=1 && continue ;;
		esac
		if [ -n "$commands" ] && grep -qxF -- "$word" <<<"$commands"; then
			line+=("$word")
			commands=$(_vouchsafe_names Commands "${line[@]}")
		else
			commands=
		fi
	done
	if [ "$cur" = = ]; then
		cur=
	elif [ "$prev" = = ] && [ "$COMP_CWORD" -gt 2 ]; then
		prev=${COMP_WORDS[COMP_CWORD-2]}
	fi
	value=
	case $prev in -*) value=$(_vouchsafe_value "$prev" "${line[@]}") ;; esac
	case $value in
	"") ;;
	DIR)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	FILE | *=FILE | WHERE)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "$(_vouchsafe_words "$prev" "${line[@]}")" -- "$cur")
		return
		;;
	esac
	if [ -n "$commands" ] && [[ $cur != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
	elif [[ $cur == -* ]]; then
		options=$(_vouchsafe_names Options "${line[@]}")
		mapfile -t COMPREPLY < <(compgen -W "$options --help" -- "$cur")
	elif [ "${line[*]:1}" = explain ]; then
		mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" explain 2>/dev/null | grep -oE "^[a-z0-9.-]+")" -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}

complete -o filenames -F _vouchsafe vouchsafe
