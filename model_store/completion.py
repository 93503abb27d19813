"""Completion of `python -m training` and `python -m model_store` in bash, zsh and fish.

Typer's own scripts complete commands of one word only. These hand it the words from the module's
name on, and leave other uses of python alone. Where there is nothing to offer, files are.
"""

from typing import Literal

Shell = Literal["bash", "zsh", "fish"]

VARIABLE = "_HALFTONE_COMPLETE"

_BASH = f"""\
# Completes `python -m training` and `python -m model_store` in bash.
_halftone_complete() {{
  local IFS=$'\\n' module=${{COMP_WORDS[2]}}
  COMPREPLY=()
  [ "${{COMP_WORDS[1]}}" = -m ] && [ "$COMP_CWORD" -gt 2 ] || return 0
  case $module in training | model_store) ;; *) return 0 ;; esac
  COMPREPLY=($(env COMP_WORDS="${{COMP_WORDS[*]:2}}" COMP_CWORD=$((COMP_CWORD - 2)) \\
    {VARIABLE}=complete_bash "$1" -m "$module" 2>/dev/null))
}}
complete -o bashdefault -o default -F _halftone_complete python python3
"""

# `compdef` is there only after `compinit`, which macOS leaves to the user.
_ZSH = f"""\
# Completes `python -m training` and `python -m model_store` in zsh.
(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit -i }}
_halftone_complete() {{
  if (( CURRENT > 3 )) && [[ $words[2] = -m && $words[3] = (training|model_store) ]]; then
    local offer="$(_TYPER_COMPLETE_ARGS="$words[3,CURRENT]" {VARIABLE}=complete_zsh \\
      $words[1] -m $words[3] 2>/dev/null)"
    eval "${{offer:-_files}}"
  else
    _python "$@"
  fi
}}
compdef _halftone_complete python python3
"""

# Asking typer whether it offers anything (is-args) would start Python a second time.
_FISH = f"""\
# Completes `python -m training` and `python -m model_store` in fish.
function __halftone_line
    set -l before '^(\\w+=\\S*\\s+)*\\S+\\s+-m\\s+((training|model_store)\\s)'
    string replace -rf $before '$2' -- (commandline -cp)
end
function __halftone_complete
    set -l words (commandline -opc)
    set -l module (math (contains -i -- -m $words) + 1)
    set -l offer (env _TYPER_COMPLETE_ARGS=(__halftone_line) _TYPER_COMPLETE_FISH_ACTION=get-args \\
        {VARIABLE}=complete_fish $words[1..$module] 2>/dev/null)
    test -n "$offer"; and printf '%s\\n' $offer; or __fish_complete_path (commandline -ct)
end
for python in python python3
    complete -c $python -n 'string length -q (__halftone_line)' --no-files \\
        -a '(__halftone_complete)'
end
"""

SCRIPTS: dict[Shell, str] = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
