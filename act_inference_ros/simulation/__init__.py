"""The embedded demo robot without ROS: MuJoCo scene, scripted expert, recorder and trainer.

Imports mujoco (lazily) and, in the trainer only, torch.
"""
