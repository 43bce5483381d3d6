"""Predictions from a Verge agent.

    from verge_client import Agent

    agent = Agent()                                   # http://127.0.0.1:8600, or Agent("unix:/run/verge/api")
    print(agent.predict("efficientnet_lite0", "cat.jpg")["classes"][0]["label"])
    y = agent.infer("identity", x=numpy.ones((1, 4), numpy.float32))["y"]
"""

from .agent import Agent, AgentError

__all__ = ["Agent", "AgentError"]
