"""{{summary}}

The strategy as the host sees it: what it is, and which decisions it makes. The class names are the
contract's.
"""

from componentize_py_types import Err
from wit_world.exports import about
from wit_world.imports.types import Role

{{modules}}
{{classes}}

ROLES = {
{{roles}}
}


class About:
    def describe(self):
        return about.Description(
            name="{{name}}",
            version="0.1.0",
            summary="{{summary}}",
            authors=["Your name"],
            licence="MIT",
            roles=list(ROLES),
            # Such as "model", beside an import of it in wit/world.wit.
            services=[],
            parameters=[parameter for role in ROLES.values() for parameter in role.parameters()],
        )

    def check(self, role, settings):
        """Each value is within its parameter's range. What they mean together is for us to judge."""
        try:
            ROLES[role].Settings(settings)
        except (KeyError, ValueError) as error:
            raise Err(about.Refusal(parameter=None, message=str(error)))
