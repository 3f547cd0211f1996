"""Every setting of the platform: one tree, validated whole before anything starts.

    command line > environment > .env > promethean.yaml > default

The models in `tree` are the only list of settings.  The names of environment variables, the reference page
(`docs/configuration.md`) and the rows of `promethean config show` are made from them.  Loading creates nothing.
"""
