"""A stand-in for Salesforce: one org over HTTP and gRPC on 127.0.0.1, with its records, rights, limits and mishaps.

It is not Salesforce, and it knows nobody who calls it. It is written from the vendor's documents, named in each
module with what they leave open: the REST API Developer Guide, the SOQL and SOSL Reference, the Bulk API 2.0
Developer Guide, the Pub/Sub API Developer Guide, the Object Reference. What the vendor can and it cannot is
answered with 501 STAND_IN_UNSUPPORTED, never with words that the vendor might say.
"""

from tests.standins.faults import Fault
from tests.standins.salesforce.oauth import App
from tests.standins.salesforce.schema import Field
from tests.standins.salesforce.server import APP, Salesforce

__all__ = ["APP", "App", "Fault", "Field", "Salesforce"]
