"""functions-framework's hello world: what any function here is measured against."""


def hello(request: object) -> str:
    return "hello, world"
