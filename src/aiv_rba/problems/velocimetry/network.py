"""The network of artificial intelligence velocimetry: (t, x, y, z) -> (u, v, w, p)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from aiv_rba import jets
from aiv_rba.errors import UserError
from aiv_rba.files.case import WallFunction
from aiv_rba.jets import Order
from aiv_rba.networks.embedding import Fourier1D, Normalise
from aiv_rba.networks.layers import MLP, CoordinateNetwork
from aiv_rba.problems.velocimetry.navier_stokes import SECOND_ORDER
from aiv_rba.problems.velocimetry.time_basis import FourierBasis, LegendreBasis, time_basis
from aiv_rba.problems.velocimetry.wall_distance import WallDistance
from aiv_rba.settings import FlowNetworkSettings
from aiv_rba.settings.types import FlowKind
from aiv_rba.time_modes import coefficients


class FlowNetwork(CoordinateNetwork):
    """Velocity and pressure, nondimensional; Eqs. 35-38.

    With `time: coefficients` a network of the position gives the coefficients of every field in
    time, of harmonics or, in an unsteady flow, of polynomials, so that these and their time
    derivatives are exact; with `time: input` the network is one of (t, x, y, z), as in the paper.

    Parameters
    ----------
    settings
        Architecture, time, no-slip and output scales; nothing is left ``auto``.
    lower, upper
        (4,) box of (t, x, y, z) in which the vessel and the period or window lie; time begins at
        zero.
    function
        Wall function, needed where no-slip is exact.
    flow
        Whether the flow is periodic, steady or unsteady.

    Raises
    ------
    UserError
        If time is an input and no-slip is exact.
    """

    scales: Tensor

    def __init__(
        self,
        settings: FlowNetworkSettings,
        lower: Tensor,
        upper: Tensor,
        function: WallFunction | None = None,
        flow: FlowKind = "periodic",
    ) -> None:
        super().__init__()
        harmonics, scales = settings.time_harmonics, settings.output_scales
        if settings.width == "auto" or harmonics == "auto" or scales == "auto":
            raise ValueError("the network's settings must be resolved, found auto")
        self.normalise = Normalise(lower, upper)
        self.wall_function = function
        self.body: _TimeAsInput | _TimeCoefficients
        if settings.time == "coefficients":
            distance = None
            if settings.no_slip == "exact":
                if function is None:
                    raise ValueError("no_slip: exact needs a wall function")
                distance = WallDistance(function, lower.dtype)
            basis = time_basis(flow, harmonics, float(upper[0] - lower[0]), lower.dtype)
            modes = coefficients(flow, harmonics)
            self.body = _TimeCoefficients(settings, basis, modes, distance, lower.dtype)
        else:
            if settings.no_slip == "exact":
                raise UserError(
                    "train.network: found time: input with no_slip: exact, expected no_slip: soft"
                )
            self.body = _TimeAsInput(settings, harmonics, flow, self.normalise, lower.dtype)
        self.register_buffer("scales", torch.tensor(scales, dtype=lower.dtype))
        self.to(lower.dtype)

    def forward(self, jet: Tensor) -> Tensor:
        """Jet (K, N, 4) of (u, v, w, p) from the jet of the coordinates."""
        out: Tensor = self.body(jet)
        return out * self.scales

    def jets(self, positions: Tensor, times: Iterable[float], order: Order = 2) -> Iterator[Tensor]:
        """Jets (K, N, 4) at positions (N, 3), at one time after the other.

        K is 6, 5 or 1 by their order. Coefficients in time are evaluated once for all times.
        """
        if not self.has_coefficients:
            for time in times:
                at = torch.cat([torch.full_like(positions[:, :1], time), positions], 1)
                yield self.jet(at, order)
            return
        yield from self.series(self.coefficients(positions, order), times)

    @property
    def has_coefficients(self) -> bool:
        """Whether the network gives coefficients in time."""
        return isinstance(self.body, _TimeCoefficients)

    @property
    def modes(self) -> int:
        """Coefficients in time of every field; 1 if the network gives none."""
        return self.body.modes if isinstance(self.body, _TimeCoefficients) else 1

    def coefficients(self, positions: Tensor, order: Order = 2) -> Tensor:
        """Jets (K, N, 4, modes) in space of the coefficients of (u, v, w, p) in time.

        K is 5, 4 or 1 by their order.
        """
        assert isinstance(self.body, _TimeCoefficients)
        return self.body.coefficients(positions, order) * self.scales[:, None]

    def series(self, coefficients: Tensor, times: Iterable[float]) -> Iterator[Tensor]:
        """Jets (..., 6, N, 4) at each time of coefficients (..., 5, N, 4, modes), of their order.

        The derivative in time is added: jets of order 1 have 5 slices where coefficients have 4.
        """
        assert isinstance(self.body, _TimeCoefficients)
        for time in times:
            at = coefficients.new_full((coefficients.shape[-3],), time)
            yield self.body.at_times(coefficients, at)

    def value_and_mean(
        self, points: Tensor, aside: float, own: slice = slice(None)
    ) -> tuple[Tensor, Tensor]:
        """Values f(t) (N, 4) of (u, v, w, p), nondimensional, and (f(t - a) + f(t + a)) / 2 (n, 4).

        Coefficients in time are evaluated once for both.

        Parameters
        ----------
        points
            (N, 4): times and positions.
        aside
            The time a, nondimensional.
        own
            The points of which there are means. These have no gradient.
        """
        times = [points[own, 0] + shift for shift in (-aside, aside)]
        if not self.has_coefficients:
            places = points[own, 1:]
            with torch.no_grad():
                ends = [self.value(torch.cat([time[:, None], places], dim=1)) for time in times]
            # Last, since the Jacobian of Gauss-Newton is that of the layers' last pass.
            value = self.value(points)
        else:
            assert isinstance(self.body, _TimeCoefficients)
            found = self.coefficients(points[:, 1:], order=0)
            value = self.body.at_times(found, points[:, 0])[0]
            with torch.no_grad():
                ends = [self.body.at_times(found[:, own], time)[0] for time in times]
        return value, torch.stack(ends).mean(0)

    def scaled_in_time(self, points: Tensor, matrices: Tensor, aside: float = 0.0) -> Tensor:
        """Values (k, N, 4) at points (N, 4), had `scale_in_time` multiplied by each of k matrices.

        They are means of the values so much time `aside`, before and after.
        """
        before, after = (points[:, 0] + shift for shift in (-aside, aside))
        matrices = matrices.to(points)
        if isinstance(self.body, _TimeCoefficients):
            found = self.coefficients(points[:, 1:], order=0)
            ends = [
                # One matrix after the other, since all coefficients of all flows need much memory.
                torch.stack([self.body.at_times(found @ m.T, time)[0] for m in matrices])
                for time in (before, after)
            ]
        else:
            moved = (torch.cat([time[:, None], points[:, 1:]], dim=1) for time in (before, after))
            ends = [matrices * self.value(end) for end in moved]
        return torch.stack(ends).mean(0)

    def scale_in_time(self, matrix: Tensor) -> None:
        """Multiply the coefficients in time of all fields by a matrix (modes, modes).

        Where the network gives none, all fields by a number (1, 1).
        """
        out = self.body.mlp.out
        four = torch.eye(4, dtype=matrix.dtype, device=matrix.device)
        out.multiply(torch.kron(four, matrix.contiguous()).to(out.weight.device))

    @torch.no_grad()
    def start_with_ridges(
        self, positions: Callable[[Tensor], Tensor], count: int, length: float, seed: int
    ) -> None:
        """Draw the first layer anew: tanh(a . (x - x0)) with a ~ N(0, 1 / length^2).

        Where the wall function phi is an input too, b (phi - phi0) with b ~ N(0, 1) is added. For
        networks whose time is given by coefficients.

        Parameters
        ----------
        positions
            Positions (n, 3) of points of the lumen by their numbers (n,), from which the x0 are
            drawn.
        count
            How many points there are.
        length
            Length over which a ridge changes, the same in all directions.
        seed
            Seed of the draw.
        """
        assert isinstance(self.body, _TimeCoefficients)
        first = self.body.mlp.first
        generator = torch.Generator().manual_seed(seed)
        width, inputs = first.weight.shape
        slope = torch.randn(width, inputs, generator=generator, dtype=torch.float64)
        slope[:, :3] /= length
        chosen = torch.randint(count, (width,), generator=generator)
        through = positions(chosen).to(first.weight)
        distance = self.body.distance
        if distance is not None:
            phi = distance(through, order=0)[0]
            through = torch.cat([through, phi], dim=1)
        first.weight.copy_(slope)
        first.bias.copy_(-(first.weight * through).sum(1))


def _mlp(settings: FlowNetworkSettings, inputs: int, outputs: int, second_order: Tensor) -> MLP:
    assert settings.width != "auto"
    return MLP(
        inputs,
        outputs,
        layers=settings.layers,
        width=settings.width,
        activation=settings.activation,
        second_order=second_order,
        modified=settings.architecture == "modified_mlp",
        weight_normalisation=settings.weight_normalisation,
    )


class _TimeAsInput(nn.Module):
    """A network of (t, x, y, z) on normalised coordinates; of (x, y, z) in a steady flow."""

    def __init__(
        self,
        settings: FlowNetworkSettings,
        harmonics: int,
        flow: FlowKind,
        normalise: Normalise,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        second_order = torch.tensor(SECOND_ORDER, dtype=dtype)
        self.normalise = normalise
        # Normalised time runs over [-1, 1], so its period is 2; without harmonics it is left out.
        embedded = flow == "steady" or (flow == "periodic" and harmonics > 0)
        self.embed = Fourier1D(0, 2.0, harmonics, second_order) if embedded else nn.Identity()
        self.mlp = _mlp(settings, 3 + 2 * harmonics if embedded else 4, 4, second_order)

    def forward(self, jet: Tensor) -> Tensor:
        """Jet (K, N, 4)."""
        out: Tensor = self.mlp(self.embed(self.normalise(jet)))
        return out


class _TimeCoefficients(nn.Module):
    """sum_k c_k(x) f_k(t), with a network of the position for the c_k.

    The jet is that of the coordinates themselves: the network's jets are of the three positions
    only, and time derivatives are those of the functions f_k, `basis`. Where no-slip is exact the
    velocity is multiplied by the wall function phi (Eq. 20 with g = 0), which also is an input.
    """

    second_order: Tensor

    def __init__(
        self,
        settings: FlowNetworkSettings,
        basis: FourierBasis | LegendreBasis,
        modes: int,
        distance: WallDistance | None,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.distance = distance
        self.basis, self.modes = basis, modes
        # In a slender vessel the flow is nearly a function of phi and the axial coordinate.
        inputs = 3 if distance is None else 4
        self.register_buffer("second_order", torch.ones(3, dtype=dtype), persistent=False)
        self.mlp = _mlp(settings, inputs, 4 * modes, self.second_order)

    def forward(self, jet: Tensor) -> Tensor:
        """Jet (K, N, 4)."""
        time, positions = jet[0, :, 0], jet[0, :, 1:]
        order = jets.order_of(jet, jet.shape[-1])
        return self.at_times(self.coefficients(positions, order), time)

    def coefficients(self, positions: Tensor, order: Order) -> Tensor:
        """Jets (5, N, 4, modes) in space of c_k at positions (N, 3); fewer of a lower order."""
        inputs = jets.seed(positions, order)
        if self.distance is None:
            modes = self.mlp(inputs)
        else:
            phi = self.distance(positions, order)
            modes = self.mlp(torch.cat([inputs, phi], dim=-1))
            velocity, pressure = modes.split([3 * self.modes, self.modes], dim=-1)
            velocity = jets.product(velocity, phi, self.second_order)
            modes = torch.cat([velocity, pressure], dim=-1)
        whole: Tensor = modes.unflatten(-1, (4, self.modes))
        return whole

    def at_times(self, modes: Tensor, time: Tensor) -> Tensor:
        """Jet (..., 6, N, 4) of the fields at times (N,) from jets (..., 5, N, 4, modes).

        Of the same order: from values (..., 1, N, 4, modes) values (..., 1, N, 4).
        """
        values, rates = self.basis(time)
        fields = torch.einsum("...nfm,nm->...nf", modes, values)
        if modes.shape[-4] == 1:
            return fields
        d_t = torch.einsum("...nfm,nm->...nf", modes[..., :1, :, :, :], rates)
        return torch.cat([fields[..., :1, :, :], d_t, fields[..., 1:, :, :]], dim=-3)
