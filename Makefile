.PHONY: install run test lint

install:
	scripts/setup test

run:
	scripts/serve

test:
	scripts/test

lint: install
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports
