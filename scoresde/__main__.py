"""python -m scoresde, and accelerate launch -m scoresde: the command line."""

from .cli import main

if __name__ == "__main__":
    main()
