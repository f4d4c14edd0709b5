"""What `asyncflow.pools.redis` consists of.

- `rows.lua`, `lines.lua`, `grants.lua`, `batches.lua`, `calls.lua`: the rules, one script together
- `script`: the script as text, and its hash
- `place`: what a URL says
- `link`: one connection
- `failures`: what an error of driver or server means
- `hints`: the connection that hears of grants
"""
