"""A parameter file for a new robot, drafted from a checkpoint, its data set, and a bag or the live graph.

`facts` defines the known facts, `*_facts` read them, the other modules turn them into lines. Imports the rooms below,
no ROS.
"""
