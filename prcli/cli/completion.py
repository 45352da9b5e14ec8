"""Completion of files where no words are known, as shells do it by themselves."""

from __future__ import annotations

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)


class _FilesToo(ShellComplete):
    """Leaves files to the shell, which a script of completions keeps from completing them."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Give words, or the files that begin so."""
        known = super().get_completions(args, incomplete)
        if known or incomplete.startswith("-"):
            return known
        return [CompletionItem(incomplete, type="file")]


class _Bash(_FilesToo, BashComplete):
    pass


class _Zsh(_FilesToo, ZshComplete):
    pass


class _Fish(_FilesToo, FishComplete):
    pass


def complete_files_too() -> None:
    """Complete files wherever a command takes something of which no words are known."""
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)
