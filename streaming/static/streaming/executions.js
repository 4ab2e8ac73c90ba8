import { Badge } from "./badge.js";
import { Connection } from "./connection.js";

const connection = new Connection();
new Badge(connection);
connection.follow({});
