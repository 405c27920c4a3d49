from gym_testing import SandboxConformance


class TestLocalSandbox(SandboxConformance):
    reference = "local"
