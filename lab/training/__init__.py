"""How the `demo` variant is made: its pictures, loss, judgement and card."""
