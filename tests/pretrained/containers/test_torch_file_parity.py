"""Files of torch and transformers are read without them, and they read ours."""

import argparse
import collections

import ml_dtypes
import numpy as np
import pytest

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import safetensors_file, torch_file
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo

pytestmark = pytest.mark.parity

FLOATS = ["float64", "float32", "float16", "bfloat16"]
TYPES = [*FLOATS, "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def saved(request, torch, tmp_path):
    """`saved(value)` is a file of torch in one of its forms, opened."""

    def save(value):
        path = tmp_path / "pytorch_model.bin"
        torch.save(value, path, _use_new_zipfile_serialization=request.param)
        return torch_file.open_torch(path)

    return save


@pytest.fixture(scope="session")
def drawn(torch):
    """`drawn(*shape)` is a tensor of random numbers, the same each time."""

    def draw(*shape):
        return torch.randn(*shape, generator=torch.Generator().manual_seed(0))

    return draw


def array(tensor):
    """The values of a tensor, bfloat16 as jax calls it."""
    tensor = tensor.detach()
    if "bfloat16" not in str(tensor.dtype):
        return tensor.numpy()
    return tensor.float().numpy().astype(ml_dtypes.bfloat16)  # which is exact


def assert_equal(file, tensors):
    assert list(file.tensors) == list(tensors)
    for name, tensor in tensors.items():
        expected = array(tensor)
        assert file.tensors[name] == TensorInfo(expected.shape, expected.dtype)
        np.testing.assert_array_equal(file.read(name), expected, strict=True)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_is_read(dtype, saved, torch, drawn):
    tensors = {"x": (drawn(3, 4) * 9).to(getattr(torch, dtype))}
    assert_equal(saved(tensors), tensors)


def test_views_and_ties_are_read(saved, torch, drawn):
    table = drawn(6, 4)
    tensors = {
        "table": table,
        "tied": table,
        "transposed": table.T,
        "rows": table[2:4],
        "columns": table[:, 1::2],
        "turned": drawn(2, 3, 4).permute(2, 0, 1),
        "expanded": drawn(1, 3).expand(5, 3),
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(drawn(3)),
        "frozen": torch.nn.Parameter(drawn(3), requires_grad=False),
        "buffer": torch.arange(5).expand((1, -1)),
    }
    file = saved(tensors)
    assert_equal(file, tensors)
    assert np.shares_memory(file.read("table"), file.read("tied"))
    assert np.shares_memory(file.read("table"), file.read("transposed"))


def test_the_state_dict_of_a_model_is_read(saved, torch):
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16)
    model = torch.nn.Sequential(torch.nn.Embedding(11, 8), layer, torch.nn.LayerNorm(8))
    file = saved(model.state_dict())
    assert_equal(file, model.state_dict())
    assert file.values == {}


def test_a_checkpoint_of_fairseq_is_read(saved, torch, drawn):
    state = collections.OrderedDict(
        {
            "decoder.sentence_encoder.embed_tokens.weight": drawn(7, 4),
            "decoder.sentence_encoder.layers.0.fc1.bias": drawn(4).half(),
        }
    )
    optimizer = torch.optim.Adam([torch.nn.Parameter(drawn(3))])
    optimizer.param_groups[0]["params"][0].grad = drawn(3)
    optimizer.step()
    args = {"arch": "roberta_large", "dropout": 0.1, "bpe": None, "lr": [0.1, 2e-4]}
    checkpoint = {
        "args": argparse.Namespace(**args, fp16=True, sizes=torch.Size([2, 3])),
        "model": state,
        "optimizer_history": [{"num_updates": 2**40, "best": float("inf")}],
        "last_optimizer_state": optimizer.state_dict(),
    }
    file = saved(checkpoint)
    names = list(file.tensors)
    assert names[:2] == [f"model.{name}" for name in state]
    moments = "last_optimizer_state.state.0.exp_avg"
    assert moments in names
    np.testing.assert_array_equal(
        file.read(moments), array(optimizer.state_dict()["state"][0]["exp_avg"])
    )
    assert file.values["args"] == args | {"fp16": True, "sizes": [2, 3]}
    assert file.values["optimizer_history"] == checkpoint["optimizer_history"]
    (group,) = file.values["last_optimizer_state"]["param_groups"]
    assert group["betas"] == [0.9, 0.999]


REFUSED = {
    "module": lambda torch: torch.nn.Linear(2, 2),
    "complex": lambda torch: {"x": torch.zeros(2, dtype=torch.complex64)},
    "sparse": lambda torch: {"x": torch.zeros(2).to_sparse()},
    "numpy": lambda torch: {"x": np.zeros(2)},
    "device": lambda torch: {"x": torch.device("cpu")},
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_files_without_a_dict_of_tensors_are_refused(value, saved, torch):
    with pytest.raises(CheckpointError):
        saved(value(torch))


def test_files_without_checksums_are_read(saved, torch, drawn):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        tensors = {"x": drawn(3)}
        assert_equal(saved(tensors), tensors)
    finally:
        torch.serialization.set_crc32_options(before)


def test_a_sharded_model_of_transformers_is_read_and_written(torch, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=8,
    )
    model = transformers.BertModel(config)
    model.save_pretrained(tmp_path / "one", max_shard_size="8KB")
    file = safetensors_file.open_safetensors(
        tmp_path / "one" / "model.safetensors.index.json"
    )
    assert len({shard.path for shard in file.shards.values()}) > 1
    tensors = model.state_dict()
    assert file.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(file.read(name), array(tensor), strict=True)

    (tmp_path / "two").mkdir()
    config.save_pretrained(tmp_path / "two")
    safetensors_file.write(
        tmp_path / "two" / "model.safetensors", file.tensors, file.read
    )
    again = transformers.BertModel.from_pretrained(tmp_path / "two").state_dict()
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_torch_reads_the_files_of_our_fixture(dtype, torch, drawn, tmp_path):
    reader = pytest.importorskip("safetensors.torch")
    dtype = getattr(torch, dtype)
    tensors = {
        "transposed": drawn(4, 6).to(dtype).T,
        "scalar": torch.tensor(2.0, dtype=dtype),
        "empty": torch.zeros(0, 3, dtype=dtype),
    }
    arrays = {name: array(tensor) for name, tensor in tensors.items()}
    infos = {name: TensorInfo(a.shape, a.dtype) for name, a in arrays.items()}
    safetensors_file.write(tmp_path / "x.safetensors", infos, arrays.__getitem__)
    actual = reader.load_file(tmp_path / "x.safetensors")
    assert actual.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert actual[name].dtype == tensor.dtype
        assert torch.equal(actual[name], tensor)
