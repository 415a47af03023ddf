"""Git's server-side hooks: standard library only, installed as one zipapp, run with `python3 -I`.

The fence: they hold one repository's secret and an address; they judge nothing themselves, they ask the bot and print.
"""
