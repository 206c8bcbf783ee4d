package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

// Help is shown below the flags.
func (completionCmd) Help() string {
	return `Prints a script for the shell. It completes commands, flags and their values, and asks no server.

    source <(leat completion bash)                                    # in ~/.bashrc
    leat completion zsh > "${fpath[1]}/_leat"                         # then start zsh anew
    leat completion fish > ~/.config/fish/completions/leat.fish`
}

// Run prints the script.
func (c *completionCmd) Run(std *streams, app *kong.Kong) error {
	commands := listCommands(app.Model.Node, "")
	write := map[string]func(io.Writer, []place){"bash": completeBash, "zsh": completeZsh, "fish": completeFish}[c.Shell]
	var script strings.Builder
	write(&script, commands)
	_, err := io.WriteString(std.out, script.String())
	return err
}

// A place is one in a command line: behind a command.
type place struct {
	path  string // such as "streams list"; empty for the program itself
	subs  []option
	flags []option
}

// An option is a word with what it means.
type option struct {
	word   string
	help   string
	short  string   // of a flag: -n, or empty
	takes  bool     // a value follows
	values []string // that it may have; nil: a file's name or anything
}

// listCommands lists a command and those below it.
func listCommands(n *kong.Node, path string) []place {
	c := place{path: path}
	for _, flags := range n.AllFlags(true) {
		for _, f := range flags {
			o := option{word: "--" + f.Name, help: brief(f.Help), takes: !f.IsBool()}
			if f.Short != 0 {
				o.short = "-" + string(f.Short)
			}
			if f.Enum != "" {
				o.values = strings.Split(f.Enum, ",")
			}
			c.flags = append(c.flags, o)
		}
	}
	for _, p := range n.Positional {
		if p.Enum != "" {
			for _, word := range strings.Split(p.Enum, ",") {
				c.subs = append(c.subs, option{word: word})
			}
		}
	}
	list := []place{c}
	for _, child := range n.Children {
		if child.Type != kong.CommandNode || child.Hidden {
			continue
		}
		list[0].subs = append(list[0].subs, option{word: child.Name, help: brief(child.Help)})
		list = append(list, listCommands(child, strings.TrimSpace(path+" "+child.Name))...)
	}
	return list
}

// brief is the first sentence of a help text, without what a shell takes for its own.
func brief(help string) string {
	if i := strings.Index(help, ". "); i > 0 {
		help = help[:i]
	}
	if i := strings.IndexByte(help, ':'); i > 0 {
		help = help[:i] // zsh has it between word and help
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("'\"`$\\[]", r) {
			return -1
		}
		return r
	}, strings.TrimSuffix(help, "."))
}

// words are the words of options, with the short ones.
func words(list []option) string {
	var all []string
	for _, o := range list {
		all = append(all, o.word)
		if o.short != "" {
			all = append(all, o.short)
		}
	}
	return strings.Join(all, " ")
}

// pathCases writes the arms of a case that finds the command: w is the next word.
func pathCases(w io.Writer, commands []place, arm string) {
	for _, c := range commands[1:] {
		at := strings.LastIndexByte(c.path, ' ')
		fmt.Fprintf(w, arm, c.path[:max(at, 0)]+" "+c.path[at+1:], c.path)
	}
}

// valueCases writes the arms for what may follow a flag.
func valueCases(w io.Writer, commands []place, choice, file string) {
	for _, c := range commands {
		for _, f := range c.flags {
			if !f.takes {
				continue
			}
			pattern := fmt.Sprintf(`"%s %s"`, c.path, f.word)
			if f.short != "" {
				pattern += fmt.Sprintf(`|"%s %s"`, c.path, f.short)
			}
			if f.values == nil {
				fmt.Fprintf(w, "    %s) %s ;;\n", pattern, file)
				continue
			}
			fmt.Fprintf(w, "    %s) "+choice+" ;;\n", pattern, strings.Join(f.values, " "))
		}
	}
}

func completeBash(w io.Writer, commands []place) {
	io.WriteString(w, `# bash completion of leat: source <(leat completion bash)
_leat() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$cmd ${COMP_WORDS[i]}" in
`)
	pathCases(w, commands, "    %q) cmd=%q ;;\n")
	io.WriteString(w, "    esac\n  done\n  COMPREPLY=()\n  case \"$cmd $prev\" in\n")
	valueCases(w, commands, `COMPREPLY=($(compgen -W "%s" -- "$cur")); return`, `COMPREPLY=($(compgen -f -- "$cur")); return`)
	io.WriteString(w, "  esac\n  local flags= words=\n  case \"$cmd\" in\n")
	for _, c := range commands {
		fmt.Fprintf(w, "    %q) flags=%q words=%q ;;\n", c.path, words(c.flags), words(c.subs))
	}
	io.WriteString(w, `  esac
  if [[ $cur == -* ]]; then words=$flags; fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _leat leat
`)
}

func completeZsh(w io.Writer, commands []place) {
	io.WriteString(w, `#compdef leat
# zsh completion of leat: leat completion zsh > "${fpath[1]}/_leat"
_leat() {
  local cmd= w cur=$words[CURRENT] prev=$words[CURRENT-1]
  local -a flags subs
  for w in ${words[2,CURRENT-1]}; do
    case "$cmd $w" in
`)
	pathCases(w, commands, "    %q) cmd=%q ;;\n")
	io.WriteString(w, "    esac\n  done\n  case \"$cmd $prev\" in\n")
	valueCases(w, commands, `compadd -- %s; return`, `_files; return`)
	io.WriteString(w, "  esac\n  case \"$cmd\" in\n")
	list := func(options []option) string {
		var all []string
		for _, o := range options {
			all = append(all, fmt.Sprintf("'%s:%s'", o.word, o.help))
		}
		return strings.Join(all, " ")
	}
	for _, c := range commands {
		fmt.Fprintf(w, "    %q) flags=(%s) subs=(%s) ;;\n", c.path, list(c.flags), list(c.subs))
	}
	io.WriteString(w, `  esac
  if [[ $cur == -* ]]; then _describe -o flag flags
  elif (( $#subs )); then _describe command subs
  else _files
  fi
}
if [[ $funcstack[1] == _leat ]]; then _leat "$@"; else compdef _leat leat; fi
`)
}

func completeFish(w io.Writer, commands []place) {
	io.WriteString(w, `# fish completion of leat: leat completion fish > ~/.config/fish/completions/leat.fish
function __leat_at
  set -l cmd
  for w in (commandline -opc)[2..]
    switch "$cmd $w"
`)
	pathCases(w, commands, "      case %q; set cmd %q\n")
	io.WriteString(w, "    end\n  end\n  test \"$cmd\" = \"$argv[1]\"\nend\n")
	for _, c := range commands {
		at := fmt.Sprintf("complete -c leat -n \"__leat_at '%s'\"", c.path)
		for _, o := range c.subs {
			fmt.Fprintf(w, "%s -f -a %s -d '%s'\n", at, o.word, o.help)
		}
		for _, o := range c.flags {
			line := at + " -l " + strings.TrimPrefix(o.word, "--")
			if o.short != "" {
				line += " -s " + o.short[1:]
			}
			switch {
			case o.takes && o.values == nil:
				line += " -r"
			case o.takes:
				line += fmt.Sprintf(" -x -a '%s'", strings.Join(o.values, " "))
			}
			fmt.Fprintf(w, "%s -d '%s'\n", line, o.help)
		}
	}
}
