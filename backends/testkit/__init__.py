"""The definition of a correct storage plugin: a pytest suite over the contract in `backends.api`.

    pytest --pyargs backends.testkit --backend NAME --backend-config FILE.toml

`--backend` takes what `shardgate serve --backend` takes: an entry point's name, `module:Class` or `FILE.py`. Every test
makes its own buckets and removes them again, and works in a fresh temporary directory unless `--backend-directory` is
given. `--gevent` runs the suite in a process that gevent has patched, as a worker is. Needs the extra `testkit`
(pytest and hypothesis). docs/writing-a-backend.md explains the rules that it checks.
"""
