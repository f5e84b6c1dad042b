"""A thread compiles the steps; each step waits for its own program only."""

import threading

import jax
import numpy as np
import pytest

from bertgen_jax.data.batching import Bucket
from bertgen_jax.training import memory
from bertgen_jax.training.step_programs import StepPrograms

SMALL, LARGE = Bucket(6, 4), Bucket(8, 4)


class Compiler:
    """Compiles at once, or when a test lets it; programs return their policy.

    Attributes:
      sizes: bytes that a program needs, by policy.
      compiled: (policy, bucket) of each program so far.
      errors: the error of compiling for a bucket.
      gates: if set, compiling for the bucket waits for it.
    """

    def __init__(self, sizes):
        self.sizes = sizes
        self.compiled = []
        self.errors = {}
        self.gates = {}

    def jit_step(self, policy):
        return Wrapped(self, policy)

    def programs(self, buckets=(LARGE, SMALL), available=20):
        return StepPrograms(
            self.jit_step,
            None,
            lambda bucket: bucket,
            buckets,
            self.sizes,
            available,
            lambda policy, needed: memory.does_not_fit(
                needed, available, {f"not {policy}": 1}
            ),
        )


class Wrapped:
    def __init__(self, compiler, policy):
        self.compiler, self.policy = compiler, policy

    def lower(self, state, bucket):
        return Lowered(self.compiler, self.policy, bucket)


class Lowered:
    output_size_in_bytes = argument_size_in_bytes = alias_size_in_bytes = 0

    def __init__(self, compiler, policy, bucket):
        self.compiler, self.policy, self.bucket = compiler, policy, bucket

    def compile(self):
        if self.bucket in self.compiler.gates:
            assert self.compiler.gates[self.bucket].wait(60)
        self.compiler.compiled.append((self.policy, self.bucket))
        if self.bucket in self.compiler.errors:
            raise self.compiler.errors[self.bucket]
        return self

    def memory_analysis(self):
        return self

    @property
    def temp_size_in_bytes(self):
        return self.compiler.sizes[self.policy]

    def __call__(self, state, batch):
        return self.policy


def batch(bucket):
    return {
        "input_ids": np.zeros((2, bucket.source)),
        "decoder_input_ids": np.zeros((2, bucket.target)),
    }


def test_the_first_program_that_fits_is_used_for_all_buckets():
    compiler = Compiler({"none": 30, "dots": 10, "full": 5})
    step = compiler.programs()
    assert compiler.compiled == []
    step.start()
    step.wait()
    assert step.policy == "dots"
    for bucket in (LARGE, SMALL, SMALL):
        assert step(None, batch(bucket)) == "dots"
    step.close()
    assert compiler.compiled == [("none", LARGE), ("dots", LARGE), ("dots", SMALL)]


def test_if_no_program_fits_the_error_says_what_needs_less():
    compiler = Compiler({"dots": 3_000_000_000, "full": 2_000_000_000})
    step = compiler.programs(available=1_000_000)
    step.start()
    with pytest.raises(
        memory.ConfigError,
        match=r"(?s)needs 2\.0 GB .* 1 MB are available.*not full: about 0 MB, which",
    ):
        step.wait()
    step.close()
    assert SMALL not in {bucket for _, bucket in compiler.compiled}


def test_a_compiler_that_runs_out_of_memory_tries_the_next_policy():
    compiler = Compiler({"none": 30, "full": 5})
    error = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: hbm")
    wrapped = compiler.jit_step

    def jit_step(policy):
        compiler.errors = {LARGE: error} if policy == "none" else {}
        return wrapped(policy)

    compiler.jit_step = jit_step
    step = compiler.programs()
    step.start()
    step.wait()
    step.close()
    assert step.policy == "full"


def test_a_compiler_that_refuses_every_policy_names_no_size(caplog):
    compiler = Compiler({"none": 30, "full": 5})
    compiler.errors = {LARGE: jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: hbm")}
    step = compiler.programs()
    with caplog.at_level("INFO"):
        step.start()
        with pytest.raises(memory.ConfigError, match="more memory than there is on"):
            step.wait()
        step.close()
    assert "does not fit: model.remat=full" in caplog.text
    assert "compiled a step" not in caplog.text


def test_a_signal_ends_the_wait_for_a_compilation():
    compiler = Compiler({"none": 1})
    compiler.gates[LARGE] = threading.Event()
    step = compiler.programs()
    step.start()
    with pytest.raises(KeyboardInterrupt):
        step.wait(lambda: True)
    step.close(waits=False)
    assert compiler.compiled == []
    compiler.gates[LARGE].set()
    step.close()
    assert compiler.compiled == [("none", LARGE)]


def test_a_step_does_not_wait_for_the_programs_of_other_buckets():
    compiler = Compiler({"none": 1})
    compiler.gates[SMALL] = threading.Event()
    step = compiler.programs()
    step.start()
    assert step(None, batch(LARGE)) == "none"
    assert compiler.compiled == [("none", LARGE)]
    compiler.gates[SMALL].set()
    assert step(None, batch(SMALL)) == "none"
    step.close()


def test_an_error_of_the_compiler_reaches_the_step_that_needs_the_program():
    compiler = Compiler({"none": 1})
    compiler.errors[SMALL] = ValueError("broken")
    step = compiler.programs((LARGE, SMALL, Bucket(9, 9)))
    step.start()
    assert step(None, batch(LARGE)) == "none"
    with pytest.raises(ValueError, match="broken"):
        step(None, batch(SMALL))
    with pytest.raises(ValueError, match="broken"):
        step(None, batch(Bucket(9, 9)))
    step.close()


def test_closing_waits_for_the_program_that_is_compiled_and_begins_no_other():
    compiler = Compiler({"none": 1})
    compiler.gates[LARGE] = threading.Event()
    step = compiler.programs()
    step.start()
    threading.Timer(0.1, compiler.gates[LARGE].set).start()
    step.close()
    assert compiler.compiled == [("none", LARGE)]


def test_a_run_without_steps_compiles_nothing():
    compiler = Compiler({"none": 1})
    step = compiler.programs(())
    step.start()
    step.wait()
    step.close()
    assert compiler.compiled == []


def test_a_bucket_that_was_not_expected_is_compiled_when_it_is_needed():
    compiler = Compiler({"none": 30, "dots": 10})
    step = compiler.programs((LARGE,))
    step.start()
    assert step(None, batch(SMALL)) == "dots"
    step.close()
    assert compiler.compiled[-1] == ("dots", SMALL)
