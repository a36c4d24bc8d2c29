"""ament_python package; what each executable runs stands in act_inference_ros/program/executables.py."""

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
    package_data={NAME: ["py.typed", "simulation/*.xml", "evaluation/report/page/*", "demo/page/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (SHARE, ["package.xml"]),
        (f"{SHARE}/deploy", ["deploy/foxglove_layout.json"]),
        *files_by_folder("launch", "config", "model_repository", "hook"),
    ],
    python_requires=">=3.10",
    install_requires=["setuptools", "numpy", "defusedxml"],
    extras_require={
        "test": ["pytest", "hypothesis"],  # the name by which colcon finds out that pytest runs the tests
        "fuzz": ["atheris"],  # python -m test.fuzz works without it, but then nothing guides it
        "local": ["torch>=2.1", "safetensors>=0.4"],
        "onnxruntime": ["onnxruntime>=1.17"],  # of an exported repository; onnxruntime-gpu or -openvino will do, too
        "hub": ["huggingface_hub"],
        "triton": ["tritonclient[grpc]>=2.40"],
        "export": ["torch>=2.6", "safetensors>=0.4", "onnx>=1.16", "onnxscript>=0.3", "onnxruntime>=1.17"],
        "images": ["opencv-python-headless<5"],
        "sim": ["mujoco>=3.2"],
        "datasets": ["pyarrow>=14", "av>=12"],
        "eval": ["rosbags>=0.10", "plotly>=5", "pyyaml", "rich>=13", "pillow>=9.1"],
    },
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "bag_to_dataset = act_inference_ros.program.executables:bag_to_dataset",
            "check_server = act_inference_ros.program.executables:check_server",
            "draft_robot = act_inference_ros.program.executables:draft_robot",
            "eval_policy = act_inference_ros.program.executables:eval_policy",
            "export_policy = act_inference_ros.program.executables:export_policy",
            "policy_node = act_inference_ros.program.executables:policy_node",
            "replay_bag = act_inference_ros.program.executables:replay_bag",
            "sim_robot = act_inference_ros.program.executables:sim_robot",
            "triton_server = act_inference_ros.program.executables:triton_server",
        ]
    },
)
