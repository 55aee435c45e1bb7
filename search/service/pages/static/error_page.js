// The page of an error, as of an address that there is not.

import { begin } from "./shell.js";

begin();
