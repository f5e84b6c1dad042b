"""The one predicate behind every periodic action."""


def due(step: int, every: int, last: int) -> bool:
    """Whether something that happens every `every` steps happens after step `step`.

        every 4, last 10:   after steps 4, 8 and 10
        every 0, last 10:   after step 10

    Args:
      step: completed steps, from 1.
      every: period in steps; 0 for none.
      last: the last step, after which everything happens once more.
    """
    return step == last or (every > 0 and step % every == 0)
