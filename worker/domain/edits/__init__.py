"""PURE: changes of desired state in a file's own text, in which every byte that is not meant stays as it was.

Found by libyaml's marks (`worker/domain/yaml_places.py`), which the program's reader of YAML stands on too: ruamel.yaml's
own parser takes twenty times as long, and two readers would disagree about `on` and `0644`. Spliced into the text; proved by
reading before and after.
"""
