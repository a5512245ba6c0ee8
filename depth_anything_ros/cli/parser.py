"""A parser for one verb: it declares its options when it is used, and knows no others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

__all__ = ['Parser', 'add_verb']


class _Formatter(argparse.HelpFormatter):
    """Lists options once, below the usage and not in it."""

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None = None,
    ) -> None:
        """Show what must be given, and that there are options."""
        every = list(actions)
        shown = [one for one in every if one.required or not one.option_strings]
        if len(shown) < len(every):
            shown.insert(0, argparse.Action([], 'options', nargs='?', metavar='OPTIONS'))
        super().add_usage(usage, shown, [], prefix)


class Parser(argparse.ArgumentParser):
    """A parser whose subparsers are such, too."""

    too_many = ''
    """What to do about a word too many."""

    def __init__(
        self,
        *args: Any,
        declare: Callable[[Parser], None] | None = None,
        default_verb: str = '',
        **options: Any,
    ) -> None:
        """Take what ArgumentParser takes.

        `declare` adds the options, and is called when this parser is used for the first time.
        `default_verb` names the subparser for arguments that begin with none.
        """
        options.setdefault('formatter_class', _Formatter)
        options.setdefault('allow_abbrev', False)
        super().__init__(*args, **options)
        self._declare = declare
        self._default_verb = default_verb
        self._words: list[str] = []

    def parse_known_args(  # type: ignore[override]  # typeshed has overloads by namespace
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; an unknown argument is an error of this parser, whose usage it shows."""
        if self._declare is not None:
            declare, self._declare = self._declare, None
            declare(self)
        words = list(sys.argv[1:] if args is None else args)
        first = words[0] if words else '-'
        if self._default_verb and first.startswith('-') and first not in ('-h', '--help'):
            words.insert(0, self._default_verb)
        self._words = words
        found, unknown = super().parse_known_args(words, namespace)
        if unknown:
            self.error(f'unrecognized arguments: {" ".join(unknown)}{self._fix(unknown)}')
        return found, []

    def error(self, message: str) -> NoReturn:
        """End with a message; an option that took the last argument for its own is named."""
        if 'arguments are required' in message:
            lists = [
                word
                for word in self._words
                if getattr(self._option_string_actions.get(word), 'nargs', None) == '+'
            ]
            if lists:
                message += f'; {lists[-1]} takes all that follow: give them before it'
        super().error(message)

    def _fix(self, unknown: Sequence[str]) -> str:
        """Return what may have been meant, behind the words that are unknown."""
        options = [word.partition('=')[0] for word in unknown if word.startswith('--')]
        if not options:
            return f': {self.too_many}' if self.too_many else ''
        meant = get_close_matches(options[0], self._option_string_actions, 1)
        return f'; did you mean {meant[0]}?' if meant else ''


def add_verb(verbs: Any, name: str, text: str, **options: Any) -> Parser:
    """Return a new subparser of `verbs`, which `add_subparsers` returned; `text` describes it."""
    sentence = f'{text[0].upper()}{text[1:]}.'
    verb: Parser = verbs.add_parser(name, help=text, description=sentence, **options)
    return verb
