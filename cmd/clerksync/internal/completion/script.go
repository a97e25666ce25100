package completion

import (
	"fmt"
	"strings"

	"clerksync/cmd/clerksync/internal/grammar"
)

// quoted is a word as every shell here reads it, with what may be in it.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// at is a command as the scripts name it: its path, with blanks between.
func at(c *grammar.Command) string { return strings.Join(c.Path(), " ") }

// names are those of the commands below one.
func names(c *grammar.Command) []string {
	var names []string
	for _, below := range c.Commands {
		names = append(names, below.Name)
	}
	return names
}

// long are the flags that may stand behind a command, with their dashes.
func long(c *grammar.Command) []string {
	var flags []string
	for _, f := range c.Called() {
		flags = append(flags, "--"+f.Name)
	}
	return flags
}

// kind is what a value may be, for the scripts: file, folder, any, or = and the choices.
func kind(v grammar.Value) string {
	switch {
	case len(v.Choices) > 0:
		return "=" + strings.Join(v.Choices, " ")
	case v.Kind == grammar.File:
		return "file"
	case v.Kind == grammar.Folder:
		return "folder"
	default:
		return "any"
	}
}

// values are the lines of a case statement that sets value, for the flags behind each
// command and, by number, its arguments.
func values(g *grammar.Command) string {
	var b strings.Builder
	for _, c := range g.All() {
		for _, f := range c.Called() {
			if !f.Switch {
				fmt.Fprintf(&b, "    %s) value=%s ;;\n", quoted(at(c)+" --"+f.Name), quoted(kind(f)))
			}
		}
		for i, a := range c.Arguments {
			place := quoted(fmt.Sprintf("%s %d", at(c), i))
			if a.Many {
				place = quoted(at(c)+" ") + "[0-9]*" // it is the last one
			}
			fmt.Fprintf(&b, "    %s) value=%s ;;\n", place, quoted(kind(a)))
		}
	}
	return b.String()
}

// bash is for version 3.2, that of macOS, and later ones, and needs nothing besides.
func bash(g *grammar.Command) string {
	var places strings.Builder
	for _, c := range g.All() {
		fmt.Fprintf(&places, "    %s) commands=%s flags=%s", quoted(at(c)), quoted(strings.Join(names(c), " ")), quoted(strings.Join(long(c), " ")))
		if c.Default != nil {
			fmt.Fprintf(&places, " default=%s", quoted(at(c.Default)))
		}
		places.WriteString(" ;;\n")
	}
	return strings.NewReplacer("NAME", g.Name, "PLACES", strings.TrimSuffix(places.String(), "\n"), "VALUES", strings.TrimSuffix(values(g), "\n")).Replace(`# bash completion for NAME

# What may stand behind a command.
_NAME_at() {
    commands= flags= default=
    case "$1" in
PLACES
    esac
}

# What the value of a flag behind a command may be, or its argument of a number.
_NAME_value() {
    value=
    case "$1 $2" in
VALUES
    esac
}

_NAME() {
    local cur="${COMP_WORDS[COMP_CWORD]}" at= n=0 i=1 word open= only= before=
    local commands flags default value IFS=$' \t\n'
    COMPREPLY=()
    _NAME_at "$at"
    while [ "$i" -lt "$COMP_CWORD" ]; do
        word="${COMP_WORDS[i]}"
        i=$((i + 1))
        case "$only$word" in
        :)
            i=$((i + 1)) # bash takes a word with a colon apart
            ;;
        --) only=1 ;;
        --*=*) ;;
        --*)
            _NAME_value "$at" "$word"
            if [ -n "$value" ]; then
                # And --flag=value
                if [ "${COMP_WORDS[i]}" = "=" ]; then
                    [ "$i" -eq "$COMP_CWORD" ] && cur=
                    i=$((i + 1))
                fi
                if [ "$i" -ge "$COMP_CWORD" ]; then
                    open=1
                    break
                fi
                i=$((i + 1))
            fi
            ;;
        -?*) ;;
        *)
            case "$n $only $commands " in
            "0  "*" $word "* | "0  $word "*)
                at="${at:+$at }$word"
                _NAME_at "$at"
                ;;
            *)
                if [ "$n" -eq 0 ] && [ -n "$default" ]; then
                    at="$default"
                    _NAME_at "$at"
                fi
                n=$((n + 1))
                ;;
            esac
            ;;
        esac
    done
    if [ -z "$open$only" ]; then
        case "$cur" in
        --*=*) # where bash is told not to take words apart
            before="${cur%%=*}="
            cur="${cur#*=}"
            _NAME_value "$at" "${before%=}"
            ;;
        -*)
            COMPREPLY=($(compgen -W "$flags" -- "$cur"))
            return
            ;;
        *)
            _NAME_value "$at" "$n"
            [ "$n" -eq 0 ] && [ -n "$commands" ] && value="=$commands"
            ;;
        esac
    elif [ -z "$open" ]; then
        _NAME_value "$at" "$n"
    fi
    case "$value" in
    =*) COMPREPLY=($(compgen -P "$before" -W "${value#=}" -- "$cur")) ;;
    file | folder)
        local how=-f
        [ "$value" = folder ] && how=-d
        type compopt >/dev/null 2>&1 && compopt -o filenames
        IFS=$'\n'
        COMPREPLY=($(compgen -P "$before" $how -- "$cur"))
        ;;
    esac
}

complete -F _NAME NAME
`)
}

// described are entries for zsh's _describe: a word, a colon and its help.
func described(c *grammar.Command) (commands, flags string) {
	entry := func(word, help string) string {
		return quoted(strings.ReplaceAll(word, ":", `\:`) + ":" + firstLine(help))
	}
	var some, more []string
	for _, below := range c.Commands {
		some = append(some, entry(below.Name, below.Help))
	}
	for _, f := range c.Called() {
		more = append(more, entry("--"+f.Name, f.Help))
	}
	return strings.Join(some, " "), strings.Join(more, " ")
}

// firstLine is a help's first sentence: what a list of completions has room for.
func firstLine(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	first, _, _ = strings.Cut(first, ": ")
	return strings.TrimSuffix(first, ".")
}

func zsh(g *grammar.Command) string {
	var places strings.Builder
	for _, c := range g.All() {
		commands, flags := described(c)
		fmt.Fprintf(&places, "    %s)\n        commands=(%s)\n        flags=(%s)\n", quoted(at(c)), commands, flags)
		if c.Default != nil {
			fmt.Fprintf(&places, "        default=%s\n", quoted(at(c.Default)))
		}
		places.WriteString("        ;;\n")
	}
	return strings.NewReplacer("NAME", g.Name, "PLACES", strings.TrimSuffix(places.String(), "\n"), "VALUES", strings.TrimSuffix(values(g), "\n")).Replace(`#compdef NAME

# What may stand behind a command.
_NAME_at() {
    commands=() flags=() default=
    case "$1" in
PLACES
    esac
}

# What the value of a flag behind a command may be, or its argument of a number.
_NAME_value() {
    value=
    case "$1 $2" in
VALUES
    esac
}

_NAME() {
    local at= word open= only= default= value=
    local -a commands flags choices
    integer n=0 i=2
    _NAME_at "$at"
    while (( i < CURRENT )); do
        word=${(Q)words[i]}
        (( i++ ))
        case $only$word in
        --) only=1 ;;
        --*=*) ;;
        --*)
            _NAME_value "$at" "$word"
            if [[ -n $value ]]; then
                if (( i >= CURRENT )); then
                    open=1
                    break
                fi
                (( i++ ))
            fi
            ;;
        -?*) ;;
        *)
            if (( n == 0 )) && [[ -z $only && -n ${commands[(r)${(b)word}:*]} ]]; then
                at=${at:+$at }$word
                _NAME_at "$at"
            else
                if (( n == 0 )) && [[ -n $default ]]; then
                    at=$default
                    _NAME_at "$at"
                fi
                (( n++ ))
            fi
            ;;
        esac
    done
    if [[ -z $open$only ]]; then
        case $PREFIX in
        --*=*)
            _NAME_value "$at" "${PREFIX%%=*}"
            compset -P '*='
            ;;
        -*)
            _describe -o flag flags
            return
            ;;
        *)
            if (( n == 0 && $#commands > 0 )); then
                _describe command commands
                return
            fi
            _NAME_value "$at" "$n"
            ;;
        esac
    elif [[ -z $open ]]; then
        _NAME_value "$at" "$n"
    fi
    case $value in
    '='*)
        choices=(${(s: :)value#=})
        compadd -a choices
        ;;
    file) _files ;;
    folder) _files -/ ;;
    *) return 1 ;;
    esac
}

# Loaded from fpath it is called at once; otherwise it is to be known.
if [[ $funcstack[1] == _NAME ]]; then
    _NAME "$@"
else
    compdef _NAME NAME
fi
`)
}

func fish(g *grammar.Command) string {
	// Inside single quotes fish knows a backslash, too.
	word := func(text string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
	}
	var takes, belows, defaults, rules strings.Builder
	rule := func(when string, c *grammar.Command, rest string) {
		fmt.Fprintf(&rules, "complete -c %s -n %s %s\n", g.Name, word("__"+g.Name+"_"+when+" "+word(at(c))), rest)
	}
	values := func(v grammar.Value) string {
		switch {
		case len(v.Choices) > 0:
			return "-x -a " + word(strings.Join(v.Choices, " "))
		case v.Kind == grammar.File:
			return "-r -F"
		case v.Kind == grammar.Folder:
			return "-x -a " + word("(__fish_complete_directories (commandline -ct))")
		default:
			return "-x"
		}
	}
	for _, c := range g.All() {
		for _, below := range c.Commands {
			fmt.Fprintf(&belows, "        case %s\n            return 0\n", word(at(c)+" "+below.Name))
			rule("before", c, "-a "+word(below.Name)+" -d "+word(firstLine(below.Help)))
		}
		if c.Default != nil {
			fmt.Fprintf(&defaults, "        case %s\n            echo %s\n", word(at(c)), word(at(c.Default)))
		}
		for _, f := range c.Called() {
			how := "-l " + f.Name
			if f.Short != 0 {
				how += " -s " + string(f.Short)
			}
			if !f.Switch {
				fmt.Fprintf(&takes, "        case %s\n            return 0\n", word(at(c)+" --"+f.Name))
				how += " " + values(f)
			}
			rule("behind", c, how+" -d "+word(firstLine(f.Help)))
		}
		for i, a := range c.Arguments {
			place := fmt.Sprint(i)
			if a.Many {
				place = "many"
			}
			if len(a.Choices) > 0 || a.Kind != grammar.Any {
				fmt.Fprintf(&rules, "complete -c %s -n %s %s\n", g.Name, word("__"+g.Name+"_argument "+word(at(c))+" "+place), values(a))
			}
		}
	}
	return strings.NewReplacer("NAME", g.Name, "TAKES", strings.TrimSuffix(takes.String(), "\n"), "BELOWS", strings.TrimSuffix(belows.String(), "\n"),
		"DEFAULTS", strings.TrimSuffix(defaults.String(), "\n"), "RULES", rules.String()).Replace(`# fish completion for NAME

# Whether a flag behind a command takes a value.
function __NAME_takes
    switch "$argv[1] $argv[2]"
TAKES
    end
    return 1
end

# Whether a word behind a command is a command.
function __NAME_below
    switch "$argv[1] $argv[2]"
BELOWS
    end
    return 1
end

# The command that is meant where none is named.
function __NAME_default
    switch "$argv[1]"
DEFAULTS
    end
end

# The command that is typed, and how many arguments it has.
function __NAME_typed
    set -l words (commandline -opc)
    set -l at ''
    set -l n 0
    set -l skip 0
    set -l only 0
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        if test $only = 0
            switch $word
                case --
                    set only 1
                    continue
                case '--*=*'
                    continue
                case '--*'
                    __NAME_takes $at $word; and set skip 1
                    continue
                case '-?*'
                    continue
            end
            if test $n = 0; and __NAME_below $at $word
                set at (string trim -- "$at $word")
                continue
            end
        end
        if test $n = 0
            set -l default (__NAME_default $at)
            test -n "$default"; and set at $default
        end
        set n (math $n + 1)
    end
    echo $at
    echo $n
end

# Whether a command is typed, and nothing behind it.
function __NAME_before
    set -l typed (__NAME_typed)
    test "$typed[1]" = "$argv[1]" -a "$typed[2]" = 0
end

# Whether a command is typed.
function __NAME_behind
    set -l typed (__NAME_typed)
    test "$typed[1]" = "$argv[1]"
end

# Whether a command is typed, and so many arguments; or any number of them.
function __NAME_argument
    set -l typed (__NAME_typed)
    test "$typed[1]" = "$argv[1]"; and contains -- "$argv[2]" many $typed[2]
end

complete -c NAME -f
RULES`)
}
