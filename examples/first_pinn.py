"""A first network with residual-based attention: u'' + u = 0 with u(0) = 0, u'(0) = 1."""

import torch

import aiv_rba


class Oscillator(aiv_rba.Residuals):
    terms = {"equation": ("equation",), "initial": ("value", "slope")}
    governing = "equation"

    def equation(self, t):
        u = aiv_rba.View(self.network.jet(t), "t")
        return u.laplacian + u.value

    def initial(self, t):
        u = aiv_rba.View(self.network.jet(t), "t")
        return torch.cat([u.value, u.d("t") - 1], dim=1)


torch.manual_seed(0)
network = aiv_rba.Network([0.0], [6.0], layers=2, width=16)
t = torch.linspace(0, 6, 200, dtype=torch.float64)[:, None]
problem = aiv_rba.FixedPoints(
    Oscillator(network), {"equation": t, "initial": t[:1]}, weights={"initial": 10.0}
)
optimiser = aiv_rba.GaussNewtonSettings(iterations=60, curvature_memory=None)
aiv_rba.fit(problem, aiv_rba.LoopSettings(multipliers=aiv_rba.RBASettings(), optimiser=optimiser))

error = (network.value(t) - torch.sin(t)).norm() / torch.sin(t).norm()
print(f"relative L2 error: {error:.1e}")
