"""The trainer: its checkpoint loads strictly, is reproducible, computes what was trained, and appears whole or not."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
if find_spec("mujoco") is None:
    pytest.skip("needs MuJoCo", allow_module_level=True)

from act_inference_ros.policy.load import load_policy  # noqa: E402
from act_inference_ros.simulation import checkpoint, learner, trainer  # noqa: E402
from act_inference_ros.simulation.demonstrations import Demonstration  # noqa: E402
from act_inference_ros.simulation.recording import record  # noqa: E402

FILES = {
    "config.json",
    "model.safetensors",
    "policy_preprocessor.json",
    "policy_preprocessor_step_3_normalizer_processor.safetensors",
    "policy_postprocessor.json",
    "policy_postprocessor_step_0_unnormalizer_processor.safetensors",
}
LEROBOT_0_4_4_KEYS = [
    "type",
    "n_obs_steps",
    "input_features",
    "output_features",
    "device",
    "use_amp",
    "use_peft",
    "push_to_hub",
    "repo_id",
    "private",
    "tags",
    "license",
    "pretrained_path",
    "chunk_size",
    "n_action_steps",
    "normalization_mapping",
    "vision_backbone",
    "pretrained_backbone_weights",
    "replace_final_stride_with_dilation",
    "pre_norm",
    "dim_model",
    "n_heads",
    "dim_feedforward",
    "feedforward_activation",
    "n_encoder_layers",
    "n_decoder_layers",
    "use_vae",
    "latent_dim",
    "n_vae_encoder_layers",
    "temporal_ensemble_coeff",
    "dropout",
    "kl_weight",
    "optimizer_lr",
    "optimizer_weight_decay",
    "optimizer_lr_backbone",
]


@pytest.fixture(scope="module")
def demonstrations() -> list[Demonstration]:
    return record(1, seed=0, workers=1)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "checkpoint"
    trainer.make_checkpoint(out, demonstrations=1, steps=3, seed=0, workers=1, log=lambda line: None)
    return out


def test_the_checkpoint_has_lerobots_files_and_nothing_is_left_beside_it(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == FILES
    assert [path.name for path in written.parent.iterdir()] == ["checkpoint"]
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in written.iterdir())


def test_config_json_has_exactly_lerobots_keys_and_downloads_nothing(written: Path) -> None:
    config = json.loads((written / "config.json").read_text())
    assert list(config) == LEROBOT_0_4_4_KEYS
    assert config["type"] == "act"
    assert config["pretrained_backbone_weights"] is None


def test_the_package_loads_it_strictly(written: Path) -> None:
    spec = load_policy(written).spec
    assert (spec.chunk_size, spec.action_dim, spec.state_dim) == (20, 6, 6)
    assert spec.cameras == ("front",)
    assert spec.images[0].shape == (96, 96, 3)


def test_what_is_loaded_computes_what_was_trained(tmp_path: Path, demonstrations: list[Demonstration]) -> None:
    policy = learner.train(demonstrations, steps=3)
    checkpoint.write_checkpoint(policy, tmp_path)
    graph = load_policy(tmp_path).graph
    state, image = demonstrations[0].states[:1], demonstrations[0].images[:1]

    pixels = policy.statistics[learner.IMAGE_KEY]
    normalised = (np.moveaxis(image, -1, 1).astype(np.float32) / 255.0 - pixels.mean) / pixels.std
    joints, action = policy.statistics["observation.state"], policy.statistics["action"]
    with torch.inference_mode():
        features = policy.network.backbone(torch.from_numpy(normalised))
        expected = policy.network.act([features], torch.from_numpy((state - joints.mean) / joints.std)).numpy()
        actual = graph(torch.from_numpy(state), torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(actual, expected * action.std + action.mean, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(demonstrations: list[Demonstration]) -> None:
    def weights(seed: int) -> Any:
        return torch.cat([p.flatten() for p in learner.train(demonstrations, 2, seed).network.parameters()])

    first = weights(0)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def test_training_brings_the_predicted_actions_closer(demonstrations: list[Demonstration]) -> None:
    def error(steps: int) -> float:
        policy = learner.train(demonstrations, steps)
        features = learner._features(policy.network, torch.from_numpy(demonstrations[0].images), lambda done: None)
        states, chunks = learner._samples(demonstrations, policy.statistics)
        with torch.inference_mode():
            return float((policy.network.act([features], states) - chunks).abs().mean())

    assert error(40) < 0.5 * error(1)


def test_an_interrupted_run_leaves_what_was_there(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (written / "model.safetensors").stat()

    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write_checkpoint", interrupted)
    status = trainer.main(["--out", str(written), "--demonstrations", "1", "--steps", "1", "--workers", "1"])
    assert status == 130
    assert [path.name for path in written.parent.iterdir()] == ["checkpoint"]
    assert (written / "model.safetensors").stat() == before


def test_an_interrupted_first_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "record", interrupted)
    assert trainer.main(["--out", str(tmp_path / "new")]) == 130
    assert not list(tmp_path.iterdir())


def test_a_finished_run_replaces_an_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "checkpoint"
    out.mkdir()
    (out / "config.json").write_text("{}")
    (out / "old").write_text("")
    monkeypatch.setattr(trainer, "record", lambda *_: [])
    monkeypatch.setattr(trainer, "_training", lambda: (lambda *_: None, lambda _, path: (path / "new").write_text("")))
    assert trainer.main(["--out", str(out)]) == 0
    assert [path.name for path in out.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    "arguments", [["--steps", "0"], ["--demonstrations", "0"], ["--workers", "0"], ["--seed", "-1"]]
)
def test_a_users_mistake_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert trainer.main(["--out", str(tmp_path / "new"), *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_no_checkpoint_is_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert trainer.main(["--out", str(tmp_path)]) == 2
    assert "no checkpoint" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        trainer.main(["--help"])
    assert exited.value.code == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--out", "--demonstrations", "--steps", "--seed", "--workers"))
