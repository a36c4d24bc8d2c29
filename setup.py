"""ament_python package; the executables are listed once, here."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "act_inference_ros"
SHARE = f"share/{NAME}"


def files_by_folder(*roots: str) -> list[tuple[str, list[str]]]:
    """Every file below the given folders, as data_files entries that keep the folders' shape."""
    entries: dict[str, list[str]] = {}
    for root in roots:
        for path in sorted(Path(root).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                entries.setdefault(f"{SHARE}/{path.parent}", []).append(str(path))
    return list(entries.items())


setup(
    name=NAME,
    version="0.1.0",
    description="Runs trained ACT policies (LeRobot checkpoints) on ROS 2 robots.",
    license="Apache-2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed", "simulation/*.xml", "evaluation/report/page/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (SHARE, ["package.xml"]),
        *files_by_folder("launch", "config", "model_repository"),
    ],
    python_requires=">=3.10",
    install_requires=["setuptools", "numpy", "defusedxml"],
    extras_require={
        "test": ["pytest", "hypothesis"],  # the name by which colcon finds out that pytest runs the tests
        "local": ["torch>=2.1", "safetensors>=0.4"],
        "hub": ["huggingface_hub"],
        "triton": ["tritonclient[grpc]>=2.40"],
        "export": ["torch>=2.6", "safetensors>=0.4", "onnx>=1.16", "onnxscript>=0.3", "onnxruntime>=1.17"],
        "images": ["opencv-python-headless<5"],
        "sim": ["mujoco>=3.2"],
        "eval": ["rosbags>=0.10", "plotly>=5", "pyyaml", "rich>=13", "pillow>=9.1"],
    },
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "check_server = act_inference_ros.serving.check_server:main",
            "eval_policy = act_inference_ros.evaluation.cli.eval_policy:main",
            "export_policy = act_inference_ros.serving.export:main",
            "policy_node = act_inference_ros.ros.policy.policy_node:main",
            "replay_bag = act_inference_ros.ros.replay.replay_bag:main",
            "sim_robot = act_inference_ros.ros.sim.sim_robot:main",
            "triton_server = act_inference_ros.serving.triton_server:main",
        ]
    },
)
