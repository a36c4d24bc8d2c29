"""Recorded bags and simulated episodes -> metrics and a report, through the node's own observation/ and control/ code.

Imports no ROS and no torch; rosbags, plotly and rich (the extra `eval`) only where they are used.
"""
